"""The YAML files in ``configs/``: defaults of datasets, backbones and methods."""

from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[1] / "configs"


def read_config(kind: str, name: str) -> dict[str, Any]:
    """``configs/<kind>/<name>.yaml``; empty if there is no such file, or ``name`` is a path.

    A dataset without a file has the manifest's: it is a user's own videos. A variant such as
    ``demo@conflict=1`` has the file of its dataset.
    """
    if Path(name).name != name:
        return {}
    name = plain_name(name) if kind == "datasets" else name
    path = CONFIGS / kind / f"{name}.yaml"
    if kind == "datasets" and not path.is_file():
        path = CONFIGS / kind / "manifest.yaml"
    return read_yaml(path)


def plain_name(dataset: str) -> str:
    """A dataset's name without its variant."""
    return dataset.partition("@")[0]


def read_yaml(path: Path) -> dict[str, Any]:
    """The content of a YAML file; empty if there is none."""
    return yaml.safe_load(path.read_text()) or {} if path.is_file() else {}

"""The YAML files in ``configs/``: defaults of datasets, backbones and methods."""

from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[1] / "configs"


def read_config(kind: str, name: str) -> dict[str, Any]:
    """``configs/<kind>/<name>.yaml``; empty where there is no such file, or ``name`` is a path.

    A dataset that has no file is somebody's own videos: it has the manifest's. A variant,
    ``demo@conflict=1``, has its dataset's.
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
    """A YAML file; empty where there is none."""
    return yaml.safe_load(path.read_text()) or {} if path.is_file() else {}

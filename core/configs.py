"""YAML: the files in ``configs/``, those of users, and values on the command line."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from .errors import StructAlignError
from .files import read_user_text

CONFIGS = Path(__file__).parents[1] / "configs"


def read_config(kind: str, name: str) -> dict[str, Any]:
    """``configs/<kind>/<name>.yaml``; empty if there is no such file, or ``name`` is a path.

    A dataset without a file has the manifest's; a variant, ``demo@conflict=1``, its dataset's.
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
    """The mapping in a YAML file; empty if there is none. Raises StructAlignError."""
    if not path.exists():
        return {}
    return as_mapping(parse_yaml(read_user_text(path), path), path)


def as_mapping(value: Any, where: object) -> dict[str, Any]:
    """A mapping, or the nothing of a part left empty. Raises StructAlignError for other values."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise StructAlignError(f"{where}: {str(value)[:40]!r} stands where 'key: value' belongs")
    return {str(key): item for key, item in value.items()}


def parse_yaml(text: str, where: object) -> Any:
    """The value of a YAML text. Raises StructAlignError, also for a key that stands twice."""
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise StructAlignError(f"{where} is not YAML: {error.problem}{at}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise StructAlignError(f"{where} is not YAML: {' '.join(reason.split())}") from error


class _Loader(yaml.SafeLoader):
    """``SafeLoader`` that refuses a key that stands twice, of which it would take the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping's node. Raises ComposerError."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    problem = f"'{key.value}' stands twice"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return node

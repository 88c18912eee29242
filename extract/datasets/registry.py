"""Finding datasets: a name's file and YAML, or a Python file of the user's own."""

from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from ...core.configs import CONFIGS, as_mapping, read_config, read_yaml
from ...core.errors import StructAlignError, unknown
from ...core.python_files import load_python_file, only_subclass
from .dataset import DatasetReader


def dataset_names() -> list[str]:
    """The names that ``--dataset`` takes: those of the files in ``configs/datasets``."""
    return sorted(file.stem for file in (CONFIGS / "datasets").glob("*.yaml"))


def dataset_class(name: str) -> type[DatasetReader]:
    """The reader of a dataset, by its name or the path of the user's own .py file.

    Raises StructAlignError: an unknown name, or a file that does not define one reader.
    """
    if name.endswith(".py"):
        module = load_python_file(Path(name).expanduser().resolve(), "dataset")
    elif name in dataset_names():
        module = import_module(f".{name}", __package__)
    else:
        raise unknown("dataset", name, dataset_names())
    # A reader is an abstract class, which mypy does not take for a type.
    return only_subclass(module, DatasetReader)  # type: ignore[type-abstract]


def datasets_with(option: str) -> list[str]:
    """The names of the datasets that have an option."""
    return [n for n in dataset_names() if option in {f.name for f in fields(dataset_class(n))}]


def extract_defaults(name: str) -> dict[str, Any]:
    """The ``extract`` part of a dataset's YAML; ``mine.py`` has ``mine.yaml`` next to it.

    Raises StructAlignError: the YAML of a user's own dataset has another part.
    """
    if not name.endswith(".py"):
        return dict(read_config("datasets", name)["extract"])
    path = Path(name).expanduser().with_suffix(".yaml")
    body = read_yaml(path)
    if other := sorted(body.keys() - {"extract"}):
        raise StructAlignError(
            f"{path} has '{other[0]}'; a dataset of your own has the part 'extract' alone: give "
            "settings of training with --set, or in a method's YAML"
        )
    return as_mapping(body.get("extract"), f"{path}: extract")

"""Runs of version 0.1: their configuration and checkpoints under today's names.

They open for evaluation, search and reports. An unfinished one is not continued: what later tasks
draw comes from other generators now.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ...core.errors import StructAlignError
from ...core.tensors import load_tensors

if TYPE_CHECKING:
    from ..methods.base import Method

SETTINGS = {"measured_on": "eval_split"}
PARAMETERS = {
    "video.adapters.": "frame_fusion.",
    "text.experts.": "experts.",
    "text.prototypes.": "task_prototypes.",
}


def upgrade_config(config: dict[str, Any], classes: int | None = None) -> dict[str, Any]:
    """A configuration with today's keys; one of today passes through.

    ``classes``: the categories of its cache, where they are known.
    """
    if "algorithm" not in config:
        return config
    from ..methods.registry import method_class
    from ..settings import TrainSettings, setting_names

    algorithm = config["algorithm"]
    source = "finetune" if algorithm == "joint" else algorithm
    settings = {SETTINGS.get(key, key): value for key, value in config["settings"].items()}
    settings["drop_last"] = settings.pop("remainder", "kept") == "dropped"
    if settings.get("etf") != "open":
        settings["etf_classes"] = classes
    known = setting_names(TrainSettings, method_class(source).Options)
    kept = {key: value for key, value in settings.items() if key in known}
    return {
        **{key: value for key, value in config.items() if key != "algorithm"},
        "source": source,
        "settings": kept,
        "version": "0.1",
    }


def refuse_to_continue(path: Path, config: Mapping[str, Any], left: int) -> None:
    """Raises StructAlignError for a run of version 0.1 with tasks left."""
    if config.get("version") == "0.1" and left:
        raise StructAlignError(
            f"run {path} was begun by version 0.1, whose remaining tasks would be drawn "
            "otherwise now; finish it with that version, or train it with --overwrite"
        )


def is_legacy(folder: Path) -> bool:
    """Whether a finished task was written by version 0.1."""
    return (folder / "model.safetensors").is_file()


def gallery_file(folder: Path) -> tuple[str, str]:
    """The beginning of the gallery files' names, and the key of their embeddings."""
    return ("database", "frames") if is_legacy(folder) else ("gallery", "embeddings")


def load_state(folder: Path, number: int, method: "Method") -> dict[str, Tensor]:
    """A method's state after task ``number``, under today's names.

    Every model of 0.1 had all adapters; those that ``method`` does not have are left out.
    """
    state: dict[str, Tensor] = {}
    for name, value in load_tensors(folder / "model.safetensors").items():
        begin = next((old for old in PARAMETERS if name.startswith(old)), "")
        state[PARAMETERS.get(begin, "") + name.removeprefix(begin)] = value
    for name, value in load_tensors(folder / "method.safetensors").items():
        state[name if name == "stored" else f"prototypes.{name}"] = value
    prototypes = [f"task_prototypes.{task}" for task in range(number)]
    known = {*method.state(), *(prototypes if hasattr(method, "task_prototypes") else ())}
    return {name: value for name, value in state.items() if name in known}

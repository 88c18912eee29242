"""Settings that every method has, and a method's configuration. ``configs/`` has the values."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_type_hints

from ..core.errors import StructAlignError, unknown
from ..core.ranges import check_fields, convert, option
from .model.towers import Compute

HELDOUT_SHARE = 0.125  # two of the benchmark's sixteen training clips a category
EvalSplit = Literal["test", "heldout"]


@dataclass(frozen=True)
class TrainSettings:
    """Optimisation, and what is measured. A method's own settings are its ``Options``.

    ``batches``: ``distinct``, without two captions of one clip, or ``pairs``, random ones.
    """

    epochs: int = option(20, above=0)
    batch: int = option(32, above=0)
    batches: Literal["distinct", "pairs"] = "distinct"
    lr_text: float = option(3e-6, above=0)
    lr_vision: float = option(3e-6, above=0)
    lr_other: float = option(1e-5, above=0)
    lr_first: float | None = 2e-5
    weight_decay: float = 0.5
    warmup: float = option(0.1, at_least=0, below=1)
    schedule: Literal["half_cosine", "full_cosine"] = "half_cosine"
    clip_norm: float = option(1.0, above=0)
    compute: Compute = "float32"
    stream: Literal["tasks", "joint"] = "tasks"
    selection: Literal["last", "heldout", "reference"] = "last"
    heldout: float | None = option(None, above=0, below=1)
    eval_split: EvalSplit = "test"
    gallery: Literal["stored", "reencoded"] = "stored"
    fusion_weight: float = option(0.5, at_least=0, at_most=1)
    eval_every: int = option(1, above=0)
    drop_last: bool = False

    @property
    def selection_split(self) -> EvalSplit | None:
        """The split that scores epochs; None where the last epoch is kept."""
        if self.selection == "last":
            return None
        return "test" if self.selection == "reference" else "heldout"

    @property
    def heldout_share(self) -> float:
        """Share of each category's training clips that is held out; 0 when nothing uses them."""
        used = "heldout" in (self.selection_split, self.eval_split)
        return (HELDOUT_SHARE if self.heldout is None else self.heldout) if used else 0.0

    def __post_init__(self) -> None:
        check_fields(self)
        if self.heldout is not None and not self.heldout_share:
            raise StructAlignError(
                f"heldout={self.heldout} keeps clips aside that nothing uses; "
                "set selection=heldout or eval_split=heldout too"
            )


@dataclass(frozen=True)
class MethodConfig:
    """A method by the name that the user gave, with all of its settings.

    ``source`` is the module under ``methods/`` with its class, or the path of a file, with its
    sha256 in ``file_hash``. ``ignored`` names settings that only other methods have.
    """

    name: str
    source: str
    settings: TrainSettings
    options: Any
    file_hash: str | None = None
    ignored: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All settings by name, including the method's own."""
        return {**asdict(self.settings), **asdict(self.options)}


def setting_names(*kinds: type[Any]) -> list[str]:
    """The names of all fields of some settings dataclasses."""
    return [field.name for kind in kinds for field in fields(kind)]


def check_values(values: Mapping[str, Any], *kinds: type[Any]) -> dict[str, Any]:
    """Values by setting name, converted to the types of the dataclasses that have the names.

    Raises StructAlignError for an unknown name (giving the nearest) or a value of the wrong kind.
    """
    hints = {name: hint for kind in kinds for name, hint in get_type_hints(kind).items()}
    known = setting_names(*kinds)
    for key in values:
        if key not in known:
            raise unknown("setting", key, known)
    return {key: convert(f"setting {key}", value, hints[key]) for key, value in values.items()}

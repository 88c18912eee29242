"""Every choice of a training run, typed: the dataclass's defaults < dataset's YAML < method's YAML < method on dataset < command line."""

import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from cache.errors import StructAlignError, unknown

CONFIGS = Path(__file__).parents[1] / "configs"
HELDOUT_SHARE = 0.125  # two of the benchmark's sixteen training clips a category


@dataclass(frozen=True)
class Settings:
    """One training run. What a value means and where it comes from stands in ``configs/``."""

    # the model
    adapted_blocks: int | None = None
    frame_fusion: bool = True
    experts: int = 10
    rank: int = 64
    lora_alpha: float = 256.0
    top_k: int = 2
    dropout: float = 0.1
    words: Literal["real", "released"] = "real"
    similarity: Literal["fused", "global"] = "fused"
    compute: Literal["float32", "bfloat16"] = "float32"
    # the losses
    crp_weight: float = 10.0
    etf_weight: float = 0.1
    replay_weight: float = 0.5
    teacher: Literal["pretrained", "previous"] = "pretrained"
    logits: Literal["fixed", "batch"] = "fixed"
    etf: Literal["simplex", "gaussian"] = "simplex"
    etf_projections: Literal["trained", "fixed_swapped"] = "trained"
    prototypes: Literal["trained_path", "released"] = "trained_path"
    prototype_labels: Literal["global", "within_task"] = "global"
    negatives: Literal["train", "test"] = "train"
    # the optimisation
    epochs: int = 20
    batch: int = 32
    batches: Literal["distinct", "pairs"] = "distinct"
    lr_text: float = 3e-6
    lr_vision: float = 3e-6
    lr_other: float = 1e-5
    lr_first: float | None = 2e-5
    weight_decay: float = 0.5
    warmup: float = 0.1
    schedule: Literal["half_cosine", "full_cosine"] = "half_cosine"
    clip_norm: float = 1.0
    clip_scope: Literal["optimised", "all"] = "optimised"
    # which epoch is kept, and what is measured
    selection: Literal["last", "heldout", "reference"] = "last"
    heldout: float | None = None
    measured_on: Literal["test", "heldout"] = "test"
    gallery: Literal["stored", "reencoded"] = "stored"
    remainder: Literal["kept", "dropped"] = "kept"

    @property
    def chosen_on(self) -> Literal["test", "heldout"] | None:
        """The side that epochs are chosen by; None where the last is kept."""
        if self.selection == "last":
            return None
        return "test" if self.selection == "reference" else "heldout"

    @property
    def heldout_share(self) -> float:
        """Share of each category's training clips that is kept aside; 0 when nothing uses them."""
        used = "heldout" in (self.chosen_on, self.measured_on)
        return (HELDOUT_SHARE if self.heldout is None else self.heldout) if used else 0.0

    def __post_init__(self) -> None:
        positive = ("experts", "rank", "top_k", "epochs", "batch", "lr_text", "lr_vision", "lr_other", "clip_norm")
        for name in positive:
            if getattr(self, name) <= 0:
                raise StructAlignError(f"setting {name}={getattr(self, name)} must be above 0")
        if not 0 <= self.dropout < 1 or not 0 <= self.warmup < 1:
            raise StructAlignError("settings dropout and warmup are fractions from 0 to below 1")
        if self.heldout is not None and not 0 < self.heldout < 1:
            raise StructAlignError(f"setting heldout={self.heldout} is a share of the training clips, above 0 and below 1")
        if self.heldout is not None and not self.heldout_share:
            raise StructAlignError(f"heldout={self.heldout} keeps clips aside that nothing uses; set selection=heldout or measured_on=heldout too")


@dataclass(frozen=True)
class Recipe:
    """A method as the user names it: the algorithm it runs and its settings. A variant is a YAML file that names its base, whose
    algorithm it runs unless it names another."""

    name: str
    algorithm: str
    settings: Settings


def recipes() -> list[str]:
    """The names that ``--method`` takes."""
    return sorted(file.stem for file in (CONFIGS / "methods").glob("*.yaml"))


def resolve(dataset: str, name: str, overrides: Mapping[str, str]) -> Recipe:
    """The settings of method ``name`` on ``dataset`` with ``--set`` values on top.

    ``name`` may carry changes of its own, ``structalign:teacher=pretrained:epochs=3``: a variant that keeps its whole name in results.

    Raises:
        StructAlignError: an unknown method or key (naming the nearest), or a value of the wrong kind.
    """
    method, *changes = name.split(":")
    if method not in recipes():
        raise unknown("method", method, recipes())
    if wrong := [change for change in changes if "=" not in change]:
        raise StructAlignError(f"method '{name}': '{wrong[0]}' is not KEY=VALUE")
    chain = [method]
    while (base := _read(CONFIGS / "methods" / f"{chain[0]}.yaml").get("base")) is not None:
        chain.insert(0, base)
    on_dataset = _read(CONFIGS / "datasets" / f"{dataset}.yaml")
    layers = [on_dataset.get("train")]
    for link in chain:
        layers += [_read(CONFIGS / "methods" / f"{link}.yaml").get("train"), (on_dataset.get("methods") or {}).get(link)]
    values: dict[str, Any] = {}
    for layer in layers:
        values |= {key: _coerce(key, value) for key, value in (layer or {}).items()}
    on_top = [*(change.partition("=")[::2] for change in changes), *overrides.items()]
    values |= {key: _coerce(key, yaml.safe_load(text)) for key, text in on_top}
    algorithm = next((own for link in reversed(chain) if (own := _read(CONFIGS / "methods" / f"{link}.yaml").get("algorithm"))), chain[0])
    return Recipe(name, algorithm, Settings(**values))


def extraction_defaults(dataset: str) -> dict[str, Any]:
    """The ``extract`` part of a dataset's YAML."""
    return dict(_read(CONFIGS / "datasets" / f"{dataset}.yaml").get("extract") or {})


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Keys on which two configurations differ, each as 'key: here, there'."""
    return [f"{key}: {a.get(key)!r}, {b.get(key)!r}" for key in sorted({*a, *b}) if a.get(key) != b.get(key)]


def as_json(settings: Settings) -> dict[str, Any]:
    """Plain values, for the run folder."""
    return asdict(settings)


def _read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text()) or {} if path.is_file() else {}


def _coerce(key: str, value: Any) -> Any:
    """Check a value against the field's type; YAML reads 1e-3 as text, so numbers may come as text."""
    hints = get_type_hints(Settings)
    if key not in hints:
        raise unknown("setting", key, [field.name for field in fields(Settings)])
    kind = hints[key]
    if get_origin(kind) in (Union, types.UnionType):
        if value is None:
            return None
        kind = next(option for option in get_args(kind) if option is not type(None))
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise StructAlignError(f"setting {key}={value!r}: choose one of {', '.join(map(str, get_args(kind)))}")
        return value
    if kind is bool and isinstance(value, bool):
        return value
    try:
        if kind is float and not isinstance(value, bool):
            return float(value)
        if kind is int and not isinstance(value, bool) and int(value) == float(value):
            return int(value)
    except (TypeError, ValueError):
        pass
    raise StructAlignError(f"setting {key}={value!r} is not {'true or false' if kind is bool else 'a number'}")

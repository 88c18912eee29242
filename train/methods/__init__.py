"""Methods by name; one file each."""

from cache.errors import unknown
from train.methods.base import Method
from train.methods.finetune import Finetune
from train.methods.framefusionmoe import FrameFusionMoE
from train.methods.joint import Joint
from train.methods.structalign import StructAlign
from train.methods.zeroshot import ZeroShot
from train.model import Model
from train.settings import Settings

METHODS: dict[str, type[Finetune] | type[FrameFusionMoE] | type[Joint] | type[StructAlign] | type[ZeroShot]] = {
    "structalign": StructAlign,
    "finetune": Finetune,
    "framefusionmoe": FrameFusionMoE,
    "joint": Joint,
    "zeroshot": ZeroShot,
}


def make_method(name: str, model: Model, settings: Settings, classes: int, seed: int) -> Method:
    """Raises StructAlignError for an unknown name."""
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name](model, settings, classes, seed)

"""Methods made without a run, from any backbone and settings."""

from typing import Any, cast

import torch
from structalign.backbones.backbone import Backbone
from structalign.train.method_config import MethodConfig
from structalign.train.methods.adapted import AdaptedMethod
from structalign.train.methods.base import Method
from structalign.train.methods.registry import build_method, make_config, method_names
from structalign.train.model.adapters import FrameFusion, TextExperts
from structalign.train.seeds import generator

# Names that differ from another in settings alone.
SAME_CODE = {
    "crp-only", "etf-only", "structalign-no-ffa", "structalign-pretrained",
    "framefusionmoe-released",
}  # fmt: skip
WITH_CODE_OF_THEIR_OWN = [name for name in method_names() if name not in SAME_CODE]


def config_of(source: str, **values: Any) -> MethodConfig:
    """A method's defaults, without any YAML, and some values."""
    return make_config(source, source, values)


def make_method(source: str, backbone: Backbone, tasks: int = 0, **values: Any) -> Method:
    """A method that has met ``tasks`` tasks."""
    config = config_of(source, **values)
    method = build_method(config, backbone, 0).eval()
    if tasks and isinstance(method, AdaptedMethod):
        method._resize(tasks)
    return method


def adapted(backbone: Backbone, tasks: int = 2, **values: Any) -> AdaptedMethod:
    """Finetune whose experts have moved from their start."""
    sizes = {"rank": 4, "experts": 3, **values}
    method = cast(AdaptedMethod, make_method("finetune", backbone, tasks, **sizes))
    for experts in method.experts:
        generator = torch.Generator().manual_seed(1)
        cast(TextExperts, experts).up.data.normal_(0, 0.1, generator=generator)
    return method


@torch.no_grad()
def learn_something(method: AdaptedMethod) -> None:
    """Two tasks met, every gate open and every expert moved from its start."""
    method._resize(2)
    for adapter in method.frame_fusion.values():
        cast(FrameFusion, adapter).alpha.fill_(0.3)
    for experts in method.experts:
        cast(TextExperts, experts).up.normal_(std=0.05, generator=generator(0, "up"))

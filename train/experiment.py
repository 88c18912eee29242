"""Everything a run needs, put together from its cache and its configuration."""

from dataclasses import dataclass
from typing import Any

import torch

from cache.backbone import Backbone
from cache.cpu import prepare_cpu
from cache.errors import StructAlignError
from cache.halves import load_frozen
from cache.store import FeatureCache
from train.methods import make_method
from train.methods.base import Method
from train.model import Model, released_padding
from train.seeds import generator
from train.settings import Recipe, Settings, as_json
from train.stream import TaskStream, Tokenize


@dataclass(frozen=True)
class Experiment:
    """One continual training, ready to run or to be looked at. ``model`` and ``method`` are as before task 1."""

    config: dict[str, Any]
    settings: Settings
    cache: FeatureCache
    backbone: Backbone
    stream: TaskStream
    tokenize: Tokenize
    model: Model
    method: Method


def make_config(cache: FeatureCache, recipe: Recipe, tasks: int, seed: int) -> dict[str, Any]:
    """What is written into the run, and what a resumed run must agree with."""
    return {
        "method": recipe.name,
        "algorithm": recipe.algorithm,
        "dataset": cache.catalog.dataset,
        "tasks": tasks,
        "seed": seed,
        "fingerprint": cache.fingerprint,
        "settings": as_json(recipe.settings),
    }


def make_experiment(cache: FeatureCache, config: dict[str, Any], device: torch.device) -> Experiment:
    """Raises StructAlignError when the run was trained on another cache or asks for tasks the cache cannot give."""
    if config["fingerprint"] != cache.fingerprint:
        raise StructAlignError(
            f"this run was trained on cache {config['fingerprint'][:12]}, not on {cache.fingerprint[:12]}; name the right one with --cache"
        )
    try:
        settings = Settings(**config["settings"])
    except TypeError as error:
        raise StructAlignError(f"this run's settings are not those of this version ({error}); train it again") from error
    if device.type == "cpu":
        prepare_cpu()
    stream = TaskStream(cache, config["tasks"], settings, config["seed"], device)
    backbone = load_frozen(cache.frozen)
    model = Model(backbone, settings, config["tasks"], generator(config["seed"], "initialisation")).to(device)
    if settings.clip_scope == "all":
        for parameter in (model.video.projection, model.text.projection, model.logit_scale):
            parameter.requires_grad_(True)
    method = make_method(config["algorithm"], model, settings, len(cache.catalog.categories), config["seed"])
    tokenizer = backbone.tokenizer()
    tokenize: Tokenize = (lambda texts: released_padding(tokenizer(texts))) if settings.words == "released" else tokenizer
    return Experiment(config, settings, cache, backbone, stream, tokenize, model, method)

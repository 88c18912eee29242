"""One continual run from a cache to its results: the training loop with the evaluation handed in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from cache.claim import Claim
from cache.errors import StructAlignError
from cache.store import FeatureCache
from evaluate.results import make_results
from evaluate.stages import StageEvaluator
from evaluate.standing import write_results
from train.experiment import make_config, make_experiment
from train.loop import Progress, train
from train.runs import Run
from train.settings import Recipe

CHECKPOINT_EVERY = 60.0  # seconds
Measured = Callable[[dict[str, Any]], None]


def run_continual(
    cache: FeatureCache,
    recipe: Recipe,
    tasks: int,
    seed: int,
    device: torch.device,
    out: Path,
    overwrite: bool,
    progress: Progress,
    measured: Measured,
    checkpoint_every: float = CHECKPOINT_EVERY,
) -> dict[str, Any]:
    """Train (or go on with) the run in folder ``out``, measuring every stage; returns and writes its results.

    The state inside a task is kept at the end of an epoch, at most every ``checkpoint_every`` seconds.
    """
    config = make_config(cache, recipe, tasks, seed)
    experiment = make_experiment(cache, config, device)
    run = Run.create_or_resume(out, config, overwrite)
    evaluator = StageEvaluator(experiment, run)

    def evaluate(stage: int) -> dict[str, Any]:
        scores = evaluator(stage)
        measured(scores)
        return scores

    e = experiment
    claim = Claim(out, "claim")
    if not claim.try_acquire():
        raise StructAlignError(f"run {out} is being trained by {claim.holder()}; wait for it, or give another --out")
    with claim:
        train(e.stream, e.tokenize, e.model, e.method, run, recipe.settings, evaluate, evaluator.score, progress, checkpoint_every)
    results = make_results(experiment, run.stages())
    write_results(out, results)
    return results


def default_run_name(cache: FeatureCache, method: str, tasks: int, seed: int) -> str:
    """A folder name that says what is run."""
    return f"{cache.catalog.dataset}-{cache.fingerprint[:8]}-{method.replace(':', '+').replace('/', '_')}-k{tasks}-s{seed}"

"""Creating a run in a folder named after it, and extending one by another cache's tasks."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...cache.reader import FeatureCache
from ...core.configs import read_config
from ...core.console import Log, log_to_stderr
from ...core.device import resolve_device
from ...core.errors import StructAlignError
from ...core.files import file_name
from ..methods.registry import load_method
from ..task_plan import SHUFFLED, Tasks, unequal
from .config import categories_to_learn, describe_part
from .folder import METHOD_COPY, acquire_lease, check_usable, runs_folder
from .run import Run


def create_run(
    cache: FeatureCache,
    method: str,
    tasks: Tasks,
    seed: int = 0,
    out: str | Path | None = None,
    runs: str | Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    settings: Mapping[str, Any] | None = None,
    log: Log = log_to_stderr,
    order: str | None = None,
) -> Run:
    """A new run, or the existing one of the same configuration; arguments as for ``train``.

    A run that was extended since is the same run. Raises StructAlignError for a method, setting or
    stream that does not fit the cache, or another run or folder in its place.
    """
    dataset, backbone = cache.catalog.dataset, cache.spec.backbone
    settings = settings or {}
    config = load_method(method, dataset, backbone, settings)
    if config.ignored:
        log(f"method {config.name} has no setting {', '.join(config.ignored)}; not used")
    if warning := unknown_rates(dataset, backbone, settings):
        log(warning)
    name = run_name(cache, config.name, tasks, seed, order)
    folder = Path(out) if out else runs_folder(runs) / name
    part = describe_part(cache, tasks, order, config.settings.stream == "joint")
    content = {
        "method": config.name,
        "source": config.source,
        "file_hash": config.file_hash,
        "dataset": dataset,
        "tasks": tasks if isinstance(tasks, int) else list(tasks),
        "order": order,
        "seed": seed,
        "fingerprint": cache.fingerprint,
        "settings": config.as_json(),
        "parts": [part],
    }
    run = _checked(Run(folder, content, [cache], resolve_device(device)))
    check_usable(folder)
    advice = "wait for it, or give another --out"
    if overwrite:
        advice = "stop that first, or give another --out: nothing was overwritten"
    with acquire_lease(folder, advice):
        exists = (folder / "config.json").is_file()
        if exists and not overwrite:
            run = run.reread(
                "exists with another configuration",
                "give another --out, or train it with --overwrite",
            )
        else:
            if exists:
                run.set_aside()
            if config.file_hash is not None:
                shutil.copyfile(config.source, folder / METHOD_COPY)
            run.save_config(content)
            run.clear_set_aside()
    if note := unequal(part["tasks"], tasks):
        log(note)
    return run


def _checked(run: Run) -> Run:
    """Raises StructAlignError for a stream or a method that does not fit the caches."""
    _ = run.stream
    run.new_method()
    return run


def extend_run(run: Run, cache: FeatureCache, tasks: Tasks, order: str | None, log: Log) -> Run:
    """The run with the tasks of ``cache``, still to be learnt; the same call again resumes.

    Raises StructAlignError for unfinished tasks of another cache; a cache that the run already has,
    or one of another backbone, cut or preprocessing.
    """
    with acquire_lease(run.path, "wait for it"):
        run = run.reread()
        *earlier, last = run.config["parts"]
        is_joint = run.settings.stream == "joint"
        is_last = bool(earlier) and last["fingerprint"] == cache.fingerprint
        had = last.get("left_out", ())
        if is_last and last["tasks"] == describe_part(cache, tasks, order, is_joint, had)["tasks"]:
            if run.finished == len(run.stream):
                log(f"cache {cache.fingerprint[:12]} is learnt already, as the run's last tasks")
            return run
        if cache.fingerprint in [known["fingerprint"] for known in run.config["parts"]]:
            raise StructAlignError(
                f"run {run.path} has had cache {cache.fingerprint[:12]} before; append other clips"
            )
        if left := len(run.stream) - run.finished:
            raise StructAlignError(
                f"run {run.path} has {left} tasks left of cache {last['fingerprint'][:12]}; finish "
                "them first with the command that began them"
            )
        run.cache.check_same_tokens(cache)
        if cache.spec.sampling != run.cache.spec.sampling:
            own, new = ("time" if c.spec.by_time else "number" for c in (run.cache, cache))
            log(f"cache {cache.fingerprint[:12]}: frames are sampled by {new}, the run's by {own}")
        if left_out := cache.shown_in((part.cache, part.clips) for part in run.parts):
            kept = categories_to_learn(cache, left_out)
            log(
                f"{len(left_out)} of {len(cache)} clips of cache {cache.fingerprint[:12]} are left "
                "out: the run has the same videos and times already"
            )
            if without := [name for name in cache.catalog.categories if name not in kept]:
                log(f"categories without other training clips are left out: {', '.join(without)}")
        part = describe_part(cache, tasks, order, is_joint, left_out)
        config = {**run.config, "parts": [*run.config["parts"], part]}
        grown = _checked(Run(run.path, config, [*run.caches, cache], run.device))
        grown.save_config(config)
        if note := unequal(part["tasks"], tasks):
            log(note)
        return grown


def run_name(
    cache: FeatureCache, method: str, tasks: Tasks, seed: int, order: str | None = None
) -> str:
    """A folder name of dataset, cache, method, tasks, seed and order."""
    plain = method.replace(":", "+").replace("/", "_")
    sizes = str(tasks) if isinstance(tasks, int) else "-".join(map(str, tasks))
    begun = f"{cache.catalog.dataset}-{cache.fingerprint[:8]}-{plain}-k{sizes}-s{seed}"
    if order is None:
        return file_name(begun)
    is_seed = order.startswith(SHUFFLED)
    return file_name(f"{begun}-o{order.removeprefix(SHUFFLED) if is_seed else Path(order).stem}")


def unknown_rates(dataset: str, backbone: str, settings: Mapping[str, Any]) -> str | None:
    """A warning when no learning rates are known for a backbone and none are given; else None."""
    defaults = read_config("datasets", dataset).get("extract") or {}
    known = backbone == defaults.get("backbone") or read_config("backbones", backbone)
    if known or any(key.startswith("lr_") for key in settings):
        return None
    return (
        f"learning rates are those of {defaults.get('backbone', 'ViT-B-32-quickgelu')}; none are "
        f"known for {backbone}: choose lr_text, lr_vision and lr_other (selection=heldout)"
    )

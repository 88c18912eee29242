"""Creating a run in a folder named after it, and extending one by another cache's tasks."""

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
from ..task_plan import SHUFFLED, Tasks, task_count, unequal
from .config import describe_part
from .folder import acquire_lease, runs_folder
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

    Raises:
        StructAlignError: a method, setting or task count that does not fit, or a run of another
            configuration in the folder.
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
    where = resolve_device(device)
    run = Run.create_or_resume(folder, cache, config, tasks, seed, where, overwrite, order)
    if note := unequal(run.stream.categories[: task_count(tasks)], tasks):
        log(note)
    return run


def extend_run(run: Run, cache: FeatureCache, tasks: Tasks, order: str | None, log: Log) -> Run:
    """The run with the tasks of ``cache``, still to be learnt; the same call again resumes.

    Raises:
        StructAlignError: unfinished tasks of another cache; a cache that the run already has, or
            one of another backbone, cut or preprocessing.
    """
    with acquire_lease(run.path, "wait for it"):
        return _extend(run.reread(), cache, tasks, order, log)


def _extend(run: Run, cache: FeatureCache, tasks: Tasks, order: str | None, log: Log) -> Run:
    *earlier, last = run.config["parts"]
    is_joint = run.settings.stream == "joint"
    if last["fingerprint"] == cache.fingerprint:
        wanted = describe_part(cache, tasks, order, is_joint)["tasks"]
        if earlier and last["tasks"] == wanted:
            if run.finished == len(run.stream):
                log(f"cache {cache.fingerprint[:12]} is learnt already, as the run's last tasks")
            return run
    if any(part["fingerprint"] == cache.fingerprint for part in (*earlier, last)):
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
        own = "time" if run.cache.spec.by_time else "number"
        raise StructAlignError(
            f"cache {cache.fingerprint[:12]} samples its frames otherwise than the run's cache, "
            f"evenly by {own}; extract it with --sampling {own}"
        )
    grown = run.extend(cache, tasks, order)
    note = unequal(grown.stream.categories[run.finished :], tasks)
    if note and not is_joint:
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

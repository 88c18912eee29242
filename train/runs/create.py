"""Creating a run: method and settings for a cache, and a folder named after them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...cache.reader import FeatureCache
from ...core.configs import read_config
from ...core.console import Log, log_to_stderr
from ...core.device import resolve_device
from ..methods.registry import load_method
from ..task_plan import SHUFFLED, Tasks, task_count, unequal
from .folder import runs_folder
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


def run_name(
    cache: FeatureCache, method: str, tasks: Tasks, seed: int, order: str | None = None
) -> str:
    """A folder name of dataset, cache, method, tasks, seed and order."""
    plain = method.replace(":", "+").replace("/", "_")
    sizes = str(tasks) if isinstance(tasks, int) else "-".join(map(str, tasks))
    begun = f"{cache.catalog.dataset}-{cache.fingerprint[:8]}-{plain}-k{sizes}-s{seed}"
    if order is None:
        return begun
    is_seed = order.startswith(SHUFFLED)
    return f"{begun}-o{order.removeprefix(SHUFFLED) if is_seed else Path(order).stem}"


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

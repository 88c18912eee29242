"""Extending a run: another cache's categories become its next tasks."""

from ...cache.reader import FeatureCache
from ...core.console import Log
from ...core.errors import StructAlignError
from ..task_plan import Tasks, unequal
from .config import describe_part
from .folder import acquire_lease
from .run import Run


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
    grown = run.extend(cache, tasks, order)
    note = unequal(grown.stream.categories[run.finished :], tasks)
    if note and not is_joint:
        log(note)
    return grown

"""The CTVR protocol, and reports over finished runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..train.runs.run import Run
    from ..verbs import search as search
    from .results import Results


def __getattr__(name: str) -> Any:
    """``search`` lives in ``structalign.search``; its name here is kept for scripts."""
    if name == "search":
        from .. import verbs

        return verbs.search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def evaluate(run: "Run | str | Path") -> "Results":
    """Measure a run again, from its checkpoints and stored gallery; writes ``results.json``.

    It holds the run's lease, so that a training or an append writes before or after it.

    Args:
        run: a run, or its folder.

    Raises:
        StructAlignError: no run, no finished task, its cache is missing, or another process trains
            or measures it.
    """
    from ..train.runs.folder import acquire_lease
    from ..train.runs.run import Run
    from .records import measure_stages
    from .results import save_results

    opened = run if isinstance(run, Run) else Run.open(run)
    with acquire_lease(opened.path, "wait for it"):
        opened = opened.reread()
        for stage in measure_stages(opened):
            opened.save_stage(stage)
        return save_results(opened)

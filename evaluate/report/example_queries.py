"""Example queries of a run: captions whose clip came first, and captions where another did."""

import base64
from collections.abc import Callable, Mapping, Sequence

from ...cache.catalog import Clip
from ...cache.reader import FeatureCache
from ...cache.root import CacheRoot
from ...core.errors import StructAlignError
from ...train.runs.config import find_cache
from ..query_results import QueryResult, read_query_results
from .finished_runs import FinishedRun
from .formatting import number
from .sections import Example, Picture, Section

MOST_TASKS = 6  # of right and of wrong examples
Located = tuple[FeatureCache, Clip]
# Makes JPEG frames of clips, None for those without a video.
Pictures = Callable[[Sequence[Located]], list[bytes | None]]


def example_queries(run: FinishedRun, root: CacheRoot, pictures: Pictures | None) -> Section:
    """Right and wrong captions of a run, at most one of each per task."""
    results = [
        (q, q.rank_seen)
        for q in read_query_results(run.path, run.results["tasks"])
        if q.found and q.rank_seen is not None
    ]
    right = _one_per_task([q for q, rank in results if rank <= 1])
    wrong = _one_per_task([q for q, rank in results if rank > 1])
    shown = [*right, *wrong]
    clips = _clips(run, root)
    names = dict.fromkeys(name for q in shown for name in (q.found[0], q.clip) if name in clips)
    frames = pictures([clips[name] for name in names]) if pictures and names else []
    found = zip(names, frames, strict=False)
    jpegs = {name: base64.b64encode(jpeg).decode() for name, jpeg in found if jpeg}
    text = (
        f"Captions of {run.name}, one per task: first those whose clip came first among all clips "
        "seen, then those where another clip did."
    )
    examples = [_example(q, clips, jpegs) for q in shown]
    return Section("Example queries", text, examples=examples, has_small_cells=True)


def _one_per_task(results: Sequence[QueryResult]) -> list[QueryResult]:
    """The middle one of each task, of at most ``MOST_TASKS`` tasks spread over the stream."""
    tasks = list(dict.fromkeys(result.task for result in results))
    every = -(-len(tasks) // MOST_TASKS) or 1
    by_task = [[result for result in results if result.task == task] for task in tasks[::every]]
    return [group[len(group) // 2] for group in by_task]


def _clips(run: FinishedRun, root: CacheRoot) -> dict[str, Located]:
    """Clips by id, from the caches that are there; an id that two caches share is left out."""
    clips: dict[str, Located] = {}
    ambiguous: set[str] = set()
    for part in run.config["parts"]:
        try:
            cache = find_cache(root, part)
        except StructAlignError:
            continue  # the captions need no cache; only the pictures are left out
        for clip in cache.catalog:
            ambiguous |= {clip.id} & clips.keys()
            clips[clip.id] = (cache, clip)
    return {name: clip for name, clip in clips.items() if name not in ambiguous}


def _example(
    result: QueryResult, clips: Mapping[str, Located], jpegs: Mapping[str, str]
) -> Example:
    first, rank = result.found[0], number(result.rank_seen, 0)
    category = f" ({clips[first][1].category})" if first in clips else ""
    is_right = first == result.clip
    if is_right:
        labels = {first: "right"}
        verdict = f"right: {first}{category}"
    else:
        labels = {first: "came first", result.clip: f"right clip, rank {rank}"}
        verdict = f"{first}{category} came first; {result.clip} ({result.category}) has rank {rank}"
    frames = [Picture(labels[name], name, jpegs[name]) for name in labels if name in jpegs]
    return Example(result.caption, is_right, frames, verdict)

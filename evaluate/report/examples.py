"""Clips as they were found: captions whose clip came first, and captions where another did."""

import base64
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from ...cache.catalog import Clip
from ...cache.reader import FeatureCache
from ...cache.root import CacheRoot
from ...core.errors import StructAlignError
from ...train.runs.config import find_cache
from ..query_results import QueryResult, read_query_results
from .finished_runs import FinishedRun
from .layout import grid, section
from .tables import number

SHOWN = 6  # of each kind
Pictures = Callable[[Sequence[tuple[FeatureCache, Clip]]], list[bytes | None]]


def examples(run: FinishedRun, root: CacheRoot, pictures: Pictures | None) -> str:
    """Some captions of a run, right and wrong, one a task at most; pictures where videos are."""
    answers = [a for a in read_query_results(run.path, run.results["tasks"]) if a.found]
    right = _spread([a for a in answers if a.rank_seen is not None and a.rank_seen <= 1])
    wrong = _spread([a for a in answers if a.rank_seen is not None and a.rank_seen > 1])
    clips = _clips(run, root)
    wanted = dict.fromkeys(name for a in [*right, *wrong] for name in (a.found[0], a.clip))
    known = [name for name in wanted if name in clips]
    made = pictures([clips[name] for name in known]) if pictures and known else []
    drawn = {name: data for name, data in zip(known, made, strict=False) if data}
    cards = [_card(answer, clips, drawn) for answer in (*right, *wrong)]
    text = (
        f"Captions of {run.name}, one of a task at most; first those whose clip came first among "
        "all clips seen, then those where another did."
    )
    return section("As found", text, grid(*cards, kind="small"))


def _spread(answers: list[QueryResult]) -> list[QueryResult]:
    """The middle answer of each task, of at most so many tasks."""
    tasks = list(dict.fromkeys(answer.task for answer in answers))
    chosen = tasks[:: -(-len(tasks) // SHOWN) or 1]
    by_task = [[answer for answer in answers if answer.task == task] for task in chosen]
    return [mine[len(mine) // 2] for mine in by_task]


def _clips(run: FinishedRun, root: CacheRoot) -> dict[str, tuple[FeatureCache, Clip]]:
    """Clips by name, of the caches that are there; a name that stands for several is left out."""
    found: dict[str, tuple[FeatureCache, Clip]] = {}
    several: set[str] = set()
    for part in run.config["parts"]:
        try:
            cache = find_cache(root, part)
        except StructAlignError:
            continue  # captions need no cache; their pictures are left out
        for clip in cache.catalog:
            several |= {clip.id} & found.keys()
            found[clip.id] = (cache, clip)
    return {name: one for name, one in found.items() if name not in several}


def _card(answer: QueryResult, clips: dict[str, Any], drawn: dict[str, bytes]) -> str:
    first, rank = answer.found[0], number(answer.rank_seen, 0)
    is_right = first == answer.clip
    category = f" ({clips[first][1].category})" if first in clips else ""
    shown = _picture(first, drawn, "right" if is_right else "found instead")
    told = f"right: {first}{category}"
    if not is_right:
        shown += _picture(answer.clip, drawn, f"right one, place {rank}")
        told = f"{first}{category} came first; {answer.clip} ({answer.category}) at place {rank}"
    kind = "right" if is_right else "wrong"
    return (
        f'<article class="{kind}"><p class="caption">“{escape(answer.caption)}”</p>'
        f'<div class="pictures">{shown}</div><p>{escape(told)}</p></article>'
    )


def _picture(clip: str, drawn: dict[str, bytes], label: str) -> str:
    if clip not in drawn:
        return ""
    data = base64.b64encode(drawn[clip]).decode()
    words = escape(f"{label}: {clip}")
    return (
        f'<figure class="frame"><img alt="{words}" src="data:image/jpeg;base64,{data}">'
        f"<figcaption>{escape(label)}</figcaption></figure>"
    )

"""Query results: each caption's rank of its clip, and the clips that came first."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..core.errors import StructAlignError
from ..core.files import parse_json, read_bytes
from ..train.runs.folder import ANSWERS_SHA256, RunFolder, query_results_file

SHOWN = 3  # clips


@dataclass(frozen=True)
class QueryResult:
    """One evaluated caption at one stage, with the rank of its clip, expected where scores tie.

    ``rank`` is 1-based and among the task's clips, ``rank_seen`` among all clips seen, ``found``
    the first three of these; None and empty at a stage that ``eval_every`` leaves out.
    """

    task: int
    clip: str
    category: str
    caption: str
    rank: float
    rank_seen: float | None
    found: tuple[str, ...]


def first_clips(scores: Tensor, clips: Sequence[str]) -> list[tuple[str, ...]]:
    """The ids of the three best of ``clips`` (V ids) for every row of scores [T, V].

    Clips of equal scores come in the gallery's order.
    """
    rest, columns = scores.clone(), []
    for _ in range(min(SHOWN, len(clips))):
        columns.append(rest.argmax(1, keepdim=True))  # the first of equal ones; topk takes any
        rest.scatter_(1, columns[-1], -torch.inf)
    return [tuple(clips[column] for column in row) for row in torch.cat(columns, 1).tolist()]


def read_query_results(run: Path, stage: int) -> list[QueryResult]:
    """The query results of a stage; empty where the stage has none.

    Raises StructAlignError: the file is damaged, or not the one that the stage was written with.
    """
    file, folder = query_results_file(run, stage), RunFolder(run)
    is_recorded = folder.stage_file(stage).exists()
    sha256 = folder.stage(stage).get(ANSWERS_SHA256) if is_recorded else None
    if sha256 is None and not file.exists():
        return []
    try:
        body = read_bytes(file)
        if sha256 not in (None, hashlib.sha256(body).hexdigest()):
            raise ValueError("it is not as it was written")
        return list(_parsed(body.decode()))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StructAlignError(
            f"{file} is damaged ({error}); 'eval --again {run}' computes it again"
        ) from error


def _parsed(text: str) -> Iterator[QueryResult]:
    for line in text.splitlines():
        values = parse_json(line)
        yield QueryResult(**{**values, "found": tuple(values["found"])})

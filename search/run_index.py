"""The index of a large run: loaded or built, and checked against the exact search."""

from importlib.util import find_spec

import torch
from torch.nn import functional as F

from ..core.console import log_to_stderr
from ..train.gallery import compare, fuse
from ..train.runs.folder import INDEX
from ..train.runs.run import Run
from .block_index import CHUNK
from .candidates import CandidateIndex, StoredBlock
from .parts import Part

MIN_RECALL = 0.99  # recall@10 against the exact search, below which the index is not used
CHECK_QUERIES = 16  # captions that the recall is measured with


def open_run_index(run: Run, evaluated: list[Part], others: list[Part]) -> CandidateIndex | None:
    """The index of a run's clips and of added ones, saved under ``RUN/index``.

    None without faiss, or where the index finds too little: the exact search is slow for so many
    clips, but right.
    """
    if find_spec("faiss") is None:
        clips = sum(map(len, (*evaluated, *others)))
        log_to_stderr(
            f"{clips} clips are compared one by one; pip install 'structalign[serve]' for an index"
        )
        return None
    folder = run.path / INDEX
    blocks = [_stored(run, part, None) for part in evaluated]
    blocks += [_stored(run, part, "train") for part in others]
    index = CandidateIndex.open(folder, blocks)
    if not index.share:
        recall = _choose_settings(run, index, evaluated)
        index.save_check(folder, blocks, recall)
        if recall < MIN_RECALL:
            log_to_stderr(
                f"the index finds {100 * recall:.1f}% of what the exact search of "
                f"{type(run.method).__name__} finds; every query is compared with all clips"
            )
    return index if index.share else None


def _stored(run: Run, part: Part, split: str | None) -> StoredBlock:
    if part.task is None:
        return StoredBlock(part.block)
    name = f"{part.task:02d}-{split or 'evaluated'}"
    return StoredBlock(part.block, run.block_file(part.task, split), name)


@torch.no_grad()
def _choose_settings(run: Run, index: CandidateIndex, evaluated: list[Part]) -> float:
    """Set the cheapest settings with enough recall@10 over the largest part's own captions.

    Returns the recall; the index's share is 0 where no settings suffice.
    """
    number = max(range(len(evaluated)), key=lambda n: len(evaluated[n]))
    block, block_index, method = evaluated[number].block, index.indexes[number], run.method
    ids = run.stream.queries(block.task, method.tokenize).token_ids
    every = max(1, len(ids) // CHECK_QUERIES)
    texts = method.encode_texts(ids[::every][:CHECK_QUERIES], block.task)
    chunks = [compare(method, texts, chunk) for chunk in block.chunks(CHUNK)]
    exact = fuse(chunks, method.fusion_weight).topk(min(10, len(block.clips))).indices
    whole = F.normalize(texts.text, dim=-1).cpu()
    recall = 0.0
    for _ in index.settings():
        rows = [block_index.search(text, index.count_per_block, index.share)[1] for text in whole]
        hits = [torch.isin(best, near) for best, near in zip(exact, rows, strict=True)]
        recall = float(torch.stack(hits).float().mean())
        if recall >= MIN_RECALL:
            break
    return recall

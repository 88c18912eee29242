"""The task stream.

K equal runs of the category order, every caption once an epoch, the same order for the same seed.
"""

from typing import Any

import pytest
import torch
from helpers.cli import Cli
from structalign.backbones.text import TextLayout
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.train.method_config import TrainSettings
from structalign.train.stream import StreamPart, TaskStream
from structalign.train.task_plan import plan_tasks

COLUMNS = TextLayout().columns
CPU = torch.device("cpu")


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


def ids(texts: list[str]) -> torch.Tensor:
    return torch.tensor([[len(text), 3] for text in texts])


def stream(cache: FeatureCache, tasks: int = 2, seed: int = 0, **changes: Any) -> TaskStream:
    part = StreamPart(cache, plan_tasks(cache.catalog.categories, tasks))
    return TaskStream([part], TrainSettings(batch=5, **changes), seed, CPU)


def test_tasks_cut_the_category_order(cache: FeatureCache) -> None:
    for tasks in (1, 2, 4):
        names = [name for group in stream(cache, tasks).categories for name in group]
        assert tuple(names) == cache.catalog.categories


@pytest.mark.parametrize("batches", ["distinct", "pairs"])
def test_every_caption_once_an_epoch(cache: FeatureCache, batches: str) -> None:
    task = stream(cache, batches=batches).task(1, ids, COLUMNS)
    for epoch in range(3):
        seen = torch.cat([batch.captions for batch in task.batches(epoch)])
        assert sorted(seen.tolist()) == list(range(len(task.token_ids)))
        for batch in task.batches(epoch):
            assert len(batch.captions) <= 5 and batch.view == epoch % 2
            assert torch.equal(task.caption_clip[batch.captions], batch.clips)
            assert torch.equal(batch.tokens[batch.index], task.tokens[batch.view, batch.clips])
            assert torch.equal(batch.labels, task.clip_labels[batch.clips])
            if batches == "distinct":
                assert len(batch.clips.unique()) == len(batch.clips)
    assert task.steps == len(list(task.batches(0)))


def test_seeds_decide_the_order(cache: FeatureCache) -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return torch.cat(
            [
                batch.captions
                for batch in stream(cache, seed=seed).task(1, ids, COLUMNS).batches(epoch)
            ]
        ).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(2, 0)
    assert order(1, 0) != order(1, 1)


def test_held_out_clips_are_training_clips_that_are_not_trained_on(cache: FeatureCache) -> None:
    aside: dict[str, Any] = {"heldout": 0.25, "selection": "heldout"}
    whole, part = stream(cache), stream(cache, **aside)
    trained, searched = part.task(1, ids, COLUMNS), part.queries(1, ids, "heldout")
    assert trained.tokens.shape[1] == 6 and len(searched.clips) == 2
    assert all(cache.catalog[clip].split == "train" for clip in searched.clips)
    assert part.queries(1, ids).clips == whole.queries(1, ids).clips
    assert len(whole.task(1, ids, COLUMNS).clip_labels) == 8
    assert searched.clips == stream(cache, seed=9, **aside).queries(1, ids, "heldout").clips
    tuned = stream(cache, heldout=0.25, eval_split="heldout")
    assert tuned.queries(1, ids).clips == searched.clips and tuned.coverage(2) == 1


def test_the_official_loader_drops_the_remainder(cache: FeatureCache) -> None:
    """Eight test clips a task in batches of five.

    Official, three are neither queries nor candidates.
    """
    assert len(stream(cache).queries(1, ids).clips) == 8
    dropped = stream(cache, drop_last=True)
    assert dropped.queries(1, ids).clips == stream(cache).queries(1, ids).clips[:5]
    assert dropped.coverage(2) == 5 / 8


def test_a_task_hands_out_the_tokens_of_its_evaluated_clips(cache: FeatureCache) -> None:
    whole = stream(cache)
    assert torch.equal(
        whole.task(2, ids, COLUMNS).eval_tokens(), whole.tokens(2, whole.eval_clips(2))
    )


def test_k_must_fit(cache: FeatureCache) -> None:
    with pytest.raises(StructAlignError, match="choose 1 to 4"):
        stream(cache, 5)

"""Where class prototypes come from: the path that was trained, or the official code's other one."""

from typing import cast

import pytest
import torch
from helpers.cli import Cli
from helpers.methods import make_method
from structalign.backbones.split_weights import load_frozen
from structalign.cache import CacheRoot, FeatureCache, StructAlignError
from structalign.train.contrastive import pooled_unit
from structalign.train.methods.structalign.method import StructAlign
from structalign.train.model.adapters import TextExperts
from structalign.train.stream import StreamPart, Task, TaskStream
from structalign.train.task_plan import plan_tasks

CPU = torch.device("cpu")
BASE = {"rank": 4, "experts": 3, "batch": 4, "batches": "pairs", "epochs": 1}


@pytest.fixture
def cache(shared: Cli) -> FeatureCache:
    return CacheRoot(shared.home / "cache").find(None)


def second_task(cache: FeatureCache, **changes: object) -> tuple[StructAlign, Task]:
    backbone = load_frozen(cache.frozen, cache.spec.weights)
    method = make_method("structalign", backbone, 2, **{**BASE, **changes})
    assert isinstance(method, StructAlign)
    for experts in method.experts:
        rng = torch.Generator().manual_seed(1)
        cast(TextExperts, experts).up.data.normal_(0, 0.1, generator=rng)
    part = StreamPart(cache, plan_tasks(cache.catalog.categories, 2))
    task = TaskStream([part], method.settings, 0, CPU).task(
        2, method.tokenize, method.layout.columns
    )
    method.end_task(task)
    return method, task


def test_ours_are_means_over_every_pair_on_the_trained_path(cache: FeatureCache) -> None:
    method, task = second_task(cache)
    text = method.encode_texts(task.token_ids, 2)
    features = pooled_unit(text.words, text.lengths)
    labels = task.clip_labels[task.caption_clip]
    assert method.prototypes.labels.tolist() == sorted(set(labels.tolist())) == [2, 3]
    for row, label in enumerate(method.prototypes.labels):
        assert torch.allclose(
            method.prototypes.text_mean[row], features[labels == label].mean(0), atol=1e-6
        )


def test_official_ones_are_routed_without_prototype_and_leave_the_incomplete_batch_out(
    cache: FeatureCache,
) -> None:
    method, task = second_task(cache, prototypes="released", batch=5)
    whole = [batch for batch in task.batches(1) if len(batch.token_ids) == 5]
    left_out = len(task.token_ids) - sum(len(batch.token_ids) for batch in whole)
    assert left_out > 0
    captions = torch.cat([batch.captions for batch in whole])
    assert all(batch.view == 1 for batch in whole)
    text = method.encode_texts(task.token_ids[captions], None)
    features, labels = (
        pooled_unit(text.words, text.lengths),
        torch.cat([batch.labels for batch in whole]),
    )
    for row, label in enumerate(method.prototypes.labels):
        assert torch.allclose(
            method.prototypes.text_mean[row], features[labels == label].mean(0), atol=1e-5
        )
    assert not torch.allclose(
        method.prototypes.text_mean, second_task(cache)[0].prototypes.text_mean, atol=1e-3
    )


def test_official_class_numbers_restart_in_every_task(cache: FeatureCache) -> None:
    method, _ = second_task(cache, prototype_labels="within_task")
    assert method.prototypes.labels.tolist() == [0, 1]


def test_too_few_pairs_for_a_whole_batch(cache: FeatureCache) -> None:
    with pytest.raises(StructAlignError, match="needs a whole batch of 4096 pairs"):
        second_task(cache, prototypes="released", batch=4096)

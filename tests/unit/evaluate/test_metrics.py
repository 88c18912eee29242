"""The registry of metrics, and the demo world's own: captions that tell motion twins apart."""

import pytest
import torch
from structalign.cache.catalog import Clip
from structalign.evaluate.metrics import METRICS, told_apart


def test_the_registry_names_keys_directions_and_formats() -> None:
    keys = {metric.name: (metric.key, metric.title[-1]) for metric in METRICS}
    assert keys["R@1"] == ("r1", "↑") and keys["R@10"] == ("r10", "↑")
    assert keys["MedR"] == ("medr", "↓") and keys["MeanR"] == ("meanr", "↓")
    assert len(keys) == len(METRICS)
    assert METRICS[0].format(12.345) == "12.35" and METRICS[0].format(None) == ""


def clips(*names: str, cache: str = "a") -> list[tuple[str, Clip]]:
    """Clips of one cache; ``left`` and ``right`` are each other's twins."""
    twins = {"left": "right", "right": "left"}
    extra = [{"twin": twins[name]} if name in twins else {} for name in names]
    return [
        (cache, Clip(name, "x.mp4", "c", "test", ("t",), extra=values))
        for name, values in zip(names, extra, strict=True)
    ]


def test_half_right_and_a_tie_counts_half() -> None:
    scores = torch.tensor([[2.0, 1.0, 9.0], [5.0, 5.0, 0.0], [0.0, 0.0, 1.0]])
    found = told_apart(scores, torch.tensor([0, 1, 2]), clips("left", "right", "other"))
    assert found == {"captions": 2, "told_apart": pytest.approx(75)}


def test_a_twin_of_another_cache_is_not_one_and_without_twins_nothing_is_measured() -> None:
    apart = [*clips("left"), *clips("right", cache="b")]
    assert told_apart(torch.eye(2), torch.arange(2), apart) is None
    assert told_apart(torch.eye(1), torch.arange(1), clips("other")) is None

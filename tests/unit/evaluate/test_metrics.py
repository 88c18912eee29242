"""Ranks by hand, and ties by expectation."""

from structalign.evaluate.metrics import METRICS


def test_the_registry_names_keys_directions_and_formats() -> None:
    keys = {metric.name: (metric.key, metric.title[-1]) for metric in METRICS}
    assert keys["R@1"] == ("r1", "↑") and keys["R@10"] == ("r10", "↑")
    assert keys["MedR"] == ("medr", "↓") and keys["MeanR"] == ("meanr", "↓")
    assert len(keys) == len(METRICS)
    assert METRICS[0].format(12.345) == "12.35" and METRICS[0].format(None) == ""

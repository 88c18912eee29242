"""A sweep's columns are the registry's metrics, forgetting and transfer."""

import pytest
from structalign.evaluate.metrics import METRICS
from structalign.experiments.sweep import summarise, sweep_table
from structalign.experiments.sweep_runs import FIGURES


def test_every_metric_is_a_column_with_mean_and_deviation() -> None:
    columns = dict.fromkeys(FIGURES, None)
    runs = [
        {"method": "finetune", **columns, **{metric.name: value for metric in METRICS}}
        for value in (1.0, 3.0)
    ]
    methods = summarise(runs)
    for metric in METRICS:
        figure = methods["finetune"][metric.name]
        assert figure == {"mean": 2.0, "sd": pytest.approx(2**0.5)}
    assert methods["finetune"]["BWF"] == {"mean": None, "sd": None}
    head, row = sweep_table({"methods": methods}).splitlines()
    assert all(metric.name in head for metric in METRICS)
    assert row.count("2.00 ± 1.41") == len(METRICS)

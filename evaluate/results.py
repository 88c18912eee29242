"""``results.json``: the task matrix and its summaries under their contract names."""

from typing import Any

from evaluate.matrix import Matrix, backward_forgetting, task_average
from train.experiment import Experiment


def make_results(experiment: Experiment, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Results of the stages measured so far; percentages are 0 to 100."""
    config, settings = experiment.config, experiment.settings
    tasks = config["tasks"]
    matrix: dict[str, Matrix] = {k: [_padded(stage["row"][k], tasks) for stage in stages] for k in ("r1", "r5", "r10")}
    classes = [len(names) for names in experiment.stream.categories]
    rows = [
        {
            "stage": stage["stage"],
            "t2v": stage["t2v"],
            "v2t": stage["v2t"],
            "BWF": backward_forgetting(matrix["r1"], classes, stage["stage"]),
            "task_average": task_average(matrix["r1"], index),
            "ties": stage["ties"],
            "twins": stage["twins"],
            "queries": stage["queries"],
            "clips": stage["clips"],
            "seconds": stage["seconds"],
        }
        for index, stage in enumerate(stages)
    ]
    return {
        "method": config["method"],
        "dataset": config["dataset"],
        "tasks": tasks,
        "seed": config["seed"],
        "selection": settings.selection,
        "evaluated_on": "held-out training clips" if settings.heldout else "test",
        "fingerprint": config["fingerprint"],
        "backbone": {"name": experiment.backbone.name, "pretrained": experiment.backbone.pretrained, "random_weights": experiment.backbone.random},
        "coverage": experiment.stream.coverage(),
        "categories": [list(names) for names in experiment.stream.categories],
        "matrix": matrix,
        "stages": rows,
        "final": rows[-1],
        "zero_shot": rows[0],
        "gallery": "stored",
        "scope": {"matrix": "task", "BWF": "task", "stages": "seen"},
        "ties": rows[-1]["ties"]["t2v"],
        "settings": config["settings"],
    }


def _padded(row: list[float], tasks: int) -> list[float | None]:
    return [*row, *[None] * (tasks - len(row))]

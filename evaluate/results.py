"""``results.json``: the task matrix and its summaries under their contract names."""

from typing import Any

from evaluate.matrix import backward_forgetting, backward_transfer, forward_transfer, task_average, task_matrices
from train.experiment import Experiment


def make_results(experiment: Experiment, stages: list[dict[str, Any]]) -> dict[str, Any]:
    """Results of the stages measured so far; percentages are 0 to 100.

    ``figures`` is the whole state, R[stage, task, metric] by direction/gallery/scope; ``matrix`` is its text-to-video part within each
    task with old clips as ``gallery`` says, and everything else follows from it.
    """
    config, settings = experiment.config, experiment.settings
    tasks = config["tasks"]
    figures = task_matrices(stages, tasks)
    matrix = figures[f"t2v/{settings.gallery}/task"]
    stored, reencoded, ahead = (figures[f"t2v/{name}/task"]["R@1"] for name in ("stored", "reencoded", "ahead"))
    classes = [len(names) for names in experiment.stream.categories]
    rows = [
        {
            "stage": stage["stage"],
            "t2v": stage["t2v"],
            "v2t": stage["v2t"],
            "BWF": backward_forgetting(matrix["R@1"], classes, index),
            "BWF_stored": backward_forgetting(stored, classes, index),
            "BWF_reencoded": backward_forgetting(reencoded, classes, index),
            "BWT": backward_transfer(matrix["R@1"], index),
            "FWT": forward_transfer(ahead, index),
            "task_average": task_average(matrix["R@1"], index),
            "ties": stage["ties"],
            "twins": stage["twins"],
            "queries": stage["queries"],
            "clips": stage["clips"],
            "geometry": stage.get("geometry"),
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
        "evaluated_on": "test" if settings.measured_on == "test" else "held-out training clips",
        "fingerprint": config["fingerprint"],
        "backbone": {"name": experiment.backbone.name, "pretrained": experiment.backbone.pretrained, "random_weights": experiment.backbone.random},
        "coverage": experiment.stream.coverage(),
        "quarantined": experiment.cache.quarantined(),
        "categories": [list(names) for names in experiment.stream.categories],
        "matrix": {"r1": matrix["R@1"], "r5": matrix["R@5"], "r10": matrix["R@10"]},
        "stages": rows,
        "final": rows[-1],
        "zero_shot": rows[0],
        "gallery": settings.gallery,
        "scope": {"matrix": "task", "BWF": "task", "BWT": "task", "FWT": "task", "task_average": "task", "stages": "seen"},
        "galleries": {
            "matrix": settings.gallery, "BWF": settings.gallery, "BWF_stored": "stored", "BWF_reencoded": "reencoded", "BWT": settings.gallery,
            "FWT": "ahead", "task_average": settings.gallery, "stages": "stored",
        },
        "ties": rows[-1]["ties"]["t2v"],
        "figures": figures,
        "settings": config["settings"],
    }  # fmt: skip

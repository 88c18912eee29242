"""A stream of many tasks: how the cost of a task, of evaluation and of search grows.

python -m structalign.benchmarks.long_streams [--tasks 100] [--out FOLDER]     (about 6 minutes)

One StructAlign run on the demo backbone with random tokens. Each task has one category, 4 training
clips (4 captions each), 12 test clips and one epoch; ``eval_every`` leaves evaluation to the end.
"""

import argparse
import json
import resource
import tempfile
from pathlib import Path

import torch

from ..evaluate.report.charts import line_chart, standalone
from ..experiments.driver import train_and_measure
from ..search.searcher import Searcher
from ..train.gallery import Block, Gallery
from ..train.runs.create import create_run
from ..train.runs.run import Run
from .parts.synthetic import make_cache
from .parts.table import seconds

NEAR = 5  # tasks that a training figure is the mean of


def measure(tasks: int, folder: Path) -> list[dict[str, float]]:
    """Measure five lengths of the stream, one row each."""
    cache = make_cache(folder / "cache", 4, 4, 12, 1, 4, tasks, 4, "demo", ("demo", "demo"))
    settings, quiet = {"epochs": 1, "eval_every": tasks}, lambda *_: None
    run = create_run(
        cache, "structalign", tasks, out=folder / "run", device="cpu", settings=settings, log=quiet
    )
    rows = []
    for t in sorted({max(NEAR, tasks * part // 4) for part in range(5)}):
        results = train_and_measure(run, t, 1e9, quiet, quiet)
        log = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rows.append({
            "tasks": t,
            "training": sum(row["seconds"] for row in log[-NEAR:]) / NEAR,
            "own task": results.stages[t - 1].seconds,
            "stage": results.stages[t].seconds,
            **evaluation(run, t),
            "MB": memory,
        })  # fmt: skip
    return rows


def evaluation(run: Run, tasks: int) -> dict[str, float]:
    """Seconds to score all captions by all routes, by one route, and to answer a query."""
    method, gallery = run.method_after(tasks), run.gallery(tasks)
    queries = [run.stream.queries(task, method.tokenize) for task in range(1, tasks + 1)]
    ids = torch.cat([q.token_ids for q in queries])
    embeddings = torch.cat([block.embeddings for block in gallery.blocks])
    joined = Gallery([Block(tasks, tuple(gallery.clips), embeddings)])
    searcher = Searcher(Run.open(run.path, run.cache, device="cpu"))
    return {
        "all routes": seconds(lambda: gallery.score(method, ids)),
        "one route": seconds(lambda: joined.score(method, ids)),
        "query": min(seconds(lambda: searcher.search("two red balls bounce")) for _ in range(3)),
    }


def main() -> None:
    """Print a Markdown table, and draw a figure with ``--out``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(given.tasks, Path(folder))
    names = list(rows[0])
    print(f"| {' | '.join(names)} | all routes / one route |\n{'| --- ' * (len(names) + 1)}|")
    for row in rows:
        cells = [f"{row[name]:.3g}" for name in names]
        print(f"| {' | '.join(cells)} | {row['all routes'] / row['one route']:.1f} |")
    if given.out:
        xs = [str(int(row["tasks"])) for row in rows]
        shown = ("training", "stage", "one route", "query")
        svg = line_chart(
            "a long stream", {name: [row[name] for row in rows] for name in shown}, xs,
            "tasks so far", "seconds",
        )  # fmt: skip
        (given.out / "growth-stream.svg").write_text(standalone(svg))


if __name__ == "__main__":
    main()

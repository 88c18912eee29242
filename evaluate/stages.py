"""Measuring a run's stages, while it is trained or afterwards from what it left."""

from typing import Any

from evaluate.protocol import evaluate_stage
from train.database import Block
from train.experiment import Experiment
from train.runs import Run
from train.stream import Queries


class StageEvaluator:
    """Measures stage t of an experiment whose model is in the state of that stage; stage 0 is the pre-trained model on every task."""

    def __init__(self, experiment: Experiment, run: Run) -> None:
        self.experiment, self.run = experiment, run
        self._queries: dict[int, Queries] = {}

    def __call__(self, stage: int) -> dict[str, Any]:
        """The stage's row of the task matrix and its figures."""
        e = self.experiment
        if stage == 0:
            queries = [self._of_task(number) for number in range(1, e.stream.tasks + 1)]
            database = [Block(q.clips, e.model.encode_video(e.stream.query_tokens(q), adapted=False)) for q in queries]
            return evaluate_stage(e.model, False, 0, database, queries, e.cache)
        queries = [self._of_task(number) for number in range(1, stage + 1)]
        return evaluate_stage(e.model, e.method.trains, stage, self.run.database(stage), queries, e.cache)

    def _of_task(self, number: int) -> Queries:
        if number not in self._queries:
            self._queries[number] = self.experiment.stream.queries(number, self.experiment.tokenize)
        return self._queries[number]


def evaluate_run(experiment: Experiment, run: Run) -> list[dict[str, Any]]:
    """Every stage again, from the run's checkpoints and stored database."""
    evaluator = StageEvaluator(experiment, run)
    stages = [evaluator(0)]
    for number in range(1, run.finished + 1):
        run.load(number, experiment.model, experiment.method)
        stages.append(evaluator(number))
    return stages

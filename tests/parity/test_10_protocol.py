"""Topic 10.

The two-task protocol with its stored database: task and overall scores, re-encoded scores, BWF.
"""

import pytest
import torch
from helpers.golden import Golden, close, official_order
from structalign.evaluate.matrix import backward_forgetting
from structalign.evaluate.protocol import StageScores, stage_scores
from structalign.evaluate.ranks import text_to_video_ranks
from structalign.train.gallery import Block, Gallery
from structalign.train.methods.structalign.method import StructAlign
from structalign.train.model.similarity import word_frame_similarity
from structalign.train.stream import Queries
from torch import Tensor
from torch.nn import functional as F

FILE = "10_eval_protocol"


class TwoTasks:
    """The old and the current model, both tasks' tokens and captions."""

    def __init__(self, golden: Golden) -> None:
        self.old, self.new = golden.method(golden.reference_weights), golden.method()
        io = "1_model_io"
        pixels = golden.get(io, "pixel_values")
        self.size = len(pixels)
        self.tokens2 = self._tokens(golden, pixels)
        self.tokens1 = self._tokens(golden, pixels.flip(1))
        index = torch.arange(self.size)
        names = tuple(map(str, range(self.size)))
        self.queries = [
            Queries(names, golden.get(FILE, "task1.input_ids"), index),
            Queries(names, golden.get(io, "input_ids"), index),
        ]
        self.stored1 = Block(1, names, self._encode(self.old, self.tokens1))
        self.fresh1 = Block(1, names, self._encode(self.new, self.tokens1))
        self.fresh2 = Block(2, names, self._encode(self.new, self.tokens2))

    def second_stage(self) -> StageScores:
        """Task 1 stored, task 2 just encoded; and task 1's own block encoded again."""
        return stage_scores(
            self.new, Gallery([self.stored1, self.fresh2]), self.queries, {1: self.fresh1}
        )

    @staticmethod
    def _tokens(golden: Golden, pixels: Tensor) -> Tensor:
        cut = golden.method().towers.cut
        return (
            golden.backbone(golden.weights, cut)
            .stem(cut)(pixels.flatten(0, 1))
            .clone()
            .unflatten(0, pixels.shape[:2])
        )

    @staticmethod
    def _encode(model: StructAlign, tokens: Tensor) -> Tensor:
        with torch.no_grad():
            return F.normalize(model.frames(tokens), dim=-1)


@pytest.fixture(scope="module")
def two(golden: Golden) -> TwoTasks:
    return TwoTasks(golden)


def test_stored_block(golden: Golden, two: TwoTasks) -> None:
    close(two.stored1.embeddings, golden.get(FILE, "db1"))


def test_scores_of_every_stage(golden: Golden, two: TwoTasks) -> None:
    n = two.size
    close(
        stage_scores(two.old, Gallery([two.stored1]), two.queries[:1]).stored,
        golden.get(FILE, "t1_final_sims").squeeze(1),
    )
    stage = two.second_stage()
    overall = stage.stored
    close(overall, golden.get(FILE, "overall_sims").squeeze(1))
    close(overall[n:, n:], golden.get(FILE, "task_sims").squeeze(1))
    close(stage.reencoded[1], golden.get(FILE, "final_sims_task1").squeeze(1))
    close(overall[n:, n:], golden.get(FILE, "final_sims_task2").squeeze(1))


def test_word_frame_alone(golden: Golden, two: TwoTasks) -> None:
    ids = torch.cat([q.token_ids for q in two.queries])
    columns = []
    for task, block in ((1, two.stored1), (2, two.fresh2)):
        text = two.new.encode_texts(ids, task)
        columns.append(word_frame_similarity(block.embeddings, text.words, text.lengths).T)
    scores = torch.cat(columns, 1)
    close(scores, golden.get(FILE, "overall_sims_v2").squeeze(1))
    close(scores[: two.size, : two.size], golden.get(FILE, "final_v2_sims_task1").squeeze(1))


def test_recall_and_forgetting(golden: Golden, two: TwoTasks) -> None:
    n, index = two.size, torch.arange(two.size)

    def r1(scores: Tensor) -> float:
        return text_to_video_ranks(scores, index).summary()["R@1"]

    first = r1(stage_scores(two.old, Gallery([two.stored1]), two.queries[:1]).stored)
    stage = two.second_stage()
    overall = stage.stored
    after, second = r1(stage.reencoded[1]), r1(overall[n:, n:])
    assert first == pytest.approx(float(golden.get(FILE, "t1_r1")))
    assert second == pytest.approx(float(golden.get(FILE, "t2_r1")))
    assert after == pytest.approx(float(golden.get(FILE, "t1_r1_after_t2")))
    matrix: list[list[float | None]] = [[0.0, 0.0], [first, None], [after, second]]
    assert backward_forgetting(matrix, [1, 1], 2) == pytest.approx(float(golden.get(FILE, "bwf")))
    ranks = text_to_video_ranks(overall, torch.arange(2 * n))
    close(official_order(ranks), golden.get(FILE, "overall_metrics"), 1e-9)

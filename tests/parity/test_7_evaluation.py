"""Topic 7.

Fusion by row z-scores, and retrieval metrics. Ties are where we differ on purpose: expected rank
instead of chance.
"""

import pytest
import torch
from helpers.golden import Golden, close, official_order
from structalign.evaluate.ranks import text_to_video_ranks, video_to_text_ranks
from structalign.train.model.similarity import fused_similarity

FILE = "7_evaluation"


def test_fusion(golden: Golden) -> None:
    word_frame, global_ = (golden.get(FILE, name).squeeze(1) for name in ("wf", "global"))
    weight = float(golden.get(FILE, "alpha"))
    close(fused_similarity([word_frame, global_], weight), golden.get(FILE, "fused").squeeze(1))
    standardised = fused_similarity([word_frame, word_frame], weight)
    close(standardised, golden.get(FILE, "zscore_wf").squeeze(1))


@pytest.mark.parametrize("name", ["fused", "rand"])
def test_metrics_without_ties(golden: Golden, name: str) -> None:
    scores = golden.get(FILE, name).squeeze(1)
    target = torch.arange(len(scores))
    t2v, v2t = text_to_video_ranks(scores, target), video_to_text_ranks(scores, target)
    assert t2v.tied == v2t.tied == 0
    assert torch.equal(t2v.values.long() - 1, golden.get(FILE, f"{name}.t2v_ranks"))
    close(official_order(t2v), golden.get(FILE, f"{name}.t2v"), 1e-9)
    close(official_order(v2t), golden.get(FILE, f"{name}.v2t"), 1e-9)


def test_ties_lie_in_the_middle(golden: Golden) -> None:
    scores = golden.get(FILE, "ties").squeeze(1)
    ranks = text_to_video_ranks(scores, torch.arange(len(scores)))
    best, worst = (golden.get(FILE, f"ties.rank_{name}") for name in ("optimistic", "pessimistic"))
    assert torch.equal(ranks.values - 1, (best + worst).double() / 2)
    assert ranks.tied == int((best != worst).sum())
    for name in ("t2v_ranks", "rank_stable"):
        theirs = golden.get(FILE, f"ties.{name}")
        assert bool(((best <= theirs) & (theirs <= worst)).all())


def test_all_equal(golden: Golden) -> None:
    scores = golden.get(FILE, "const").squeeze(1)
    ranks = text_to_video_ranks(scores, torch.arange(len(scores)))
    assert set(ranks.values.tolist()) == {(len(scores) + 1) / 2} and ranks.tied == len(scores)
    assert float(ranks.values.mean()) == pytest.approx(
        float(golden.get(FILE, "const.t2v_ranks").double().mean()) + 1
    )

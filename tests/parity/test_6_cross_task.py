"""Topic 6: FrameFusionMoE's cross-task loss."""

from helpers.golden import Golden, close
from structalign.train.methods.framefusionmoe import cross_task_contrastive

FILE = "6_triplet"


def test_with_and_without_stored_videos(golden: Golden) -> None:
    video, text, stored = (golden.get(FILE, name) for name in ("video", "text", "ref_video"))
    scale = golden.get(FILE, "logit_scale").exp()
    close(cross_task_contrastive(video, text, None, scale), golden.get(FILE, "loss_no_ref"))
    share = float(golden.get(FILE, "scale"))
    close(cross_task_contrastive(video, text, stored, scale, share), golden.get(FILE, "loss_ref"))

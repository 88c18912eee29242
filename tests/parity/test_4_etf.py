"""Topic 4: the official ETF matrix and the alignment losses, with gradients of the projections."""

import torch
from helpers.golden import Golden, close, close_gradient
from structalign.train.methods.structalign.losses import etf_alignment, prototype_alignment
from structalign.train.methods.structalign.simplex import gaussian_frame

FILE = "4_etf"


def directions_name(golden: Golden) -> str:
    """The name of the matrix that the losses use: its Gaussian draw is recorded too."""
    return next(key.removesuffix(".W") for key in golden.file(FILE) if key.endswith(".W"))


def test_matrices_come_from_the_recorded_draw(golden: Golden) -> None:
    for name in [key for key in golden.file(FILE) if key.startswith("etf") and key[3:].isdigit()]:
        expected = golden.get(FILE, name)
        dim, classes = expected.shape
        close(gaussian_frame(classes, dim, torch.Generator().manual_seed(0)).T, expected)
    drawn = golden.get(FILE, f"{directions_name(golden)}.W")
    close(torch.randn(drawn.shape, generator=torch.Generator().manual_seed(0)).double(), drawn)


def test_alignment_and_gradients(golden: Golden) -> None:
    directions = golden.get(FILE, directions_name(golden)).T
    one, two = (golden.get(FILE, name).clone().requires_grad_() for name in ("proj1", "proj2"))
    words, lengths, frames = (golden.get(FILE, name) for name in ("words", "words.len", "frames"))
    base = etf_alignment(
        words @ one.T, lengths, frames @ two.T, directions[golden.get(FILE, "categories")]
    )
    close(base, golden.get(FILE, "loss_base"))
    text, video, labels = (golden.get(FILE, f"aug.{name}") for name in ("text", "video", "label"))
    drawn = prototype_alignment(text @ two.T, video @ one.T, directions[labels])
    close(drawn, golden.get(FILE, "loss_proto_term"))
    close(base + drawn, golden.get(FILE, "loss_incremental"))
    (base + drawn).backward()
    assert one.grad is not None and two.grad is not None
    close_gradient(one.grad, golden.get(FILE, "grad_proj1"))
    close_gradient(two.grad, golden.get(FILE, "grad_proj2"))

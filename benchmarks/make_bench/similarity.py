"""Word-frame similarity at ActivityNet's size.

All 4,910 clips and captions once, for memory and error; a tenth of the pairs, in turn with the
limits, for the ratios.
"""

import resource

import torch
from torch import Tensor
from torch.nn import functional as F

from ...train.model.similarity import word_frame_similarity
from ..parts.table import Row, in_turn, print_rows, seconds

CLIPS, TENTH, FRAMES, WIDTH = 4910, 1553, 24, 512
SHORTEST, LONGEST = 6, 18


def inputs(count: int, g: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Unit frames and words of ``count`` clips and captions, and the captions' lengths.

    Made in place, so that peak memory is what the similarity adds.
    """
    frames, words = torch.empty(count, FRAMES, WIDTH), torch.empty(count, LONGEST, WIDTH)
    for block in (*frames, *words):
        F.normalize(block.normal_(generator=g), dim=-1, out=block)
    return frames, words, torch.randint(SHORTEST, LONGEST + 1, (count,), generator=g)


def loop(frames: Tensor, words: Tensor, lengths: Tensor) -> Tensor:
    """The similarity, one caption after another."""
    flat, columns = frames.flatten(0, 1), []
    for text, length in zip(words, lengths.tolist(), strict=True):
        scores = (flat @ text[:length].T).view(len(frames), FRAMES, length)
        columns.append(0.5 * (scores.amax(1).mean(-1) + scores.amax(2).mean(-1)))
    return torch.stack(columns, 1)


def product(flat: Tensor, real: Tensor, rows: int, columns: int) -> None:
    """The matrix product alone, in blocks of this size; results are discarded."""
    out = torch.empty(rows, columns)
    for a in flat.split(rows):
        for b in real.split(columns):
            if len(a) == rows and len(b) == columns:
                torch.mm(a, b.T, out=out)
            else:
                torch.mm(a, b.T)


def main() -> None:
    """Compare ours with the matrix product over the real words, and with the loop."""
    g = torch.Generator().manual_seed(0)
    frames, words, lengths = inputs(CLIPS, g)
    scores: list[Tensor] = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole = seconds(lambda: scores.append(word_frame_similarity(frames, words, lengths)))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    beyond = grown / 1024 - scores[0].nbytes / 2**20
    error = float((scores[0][:, :100] - loop(frames, words[:100], lengths[:100])).abs().max())
    assert error <= 1e-5, error

    frames, words, lengths = inputs(TENTH, g)
    flat, real = frames.flatten(0, 1), words[torch.arange(LONGEST) < lengths[:, None]]

    def ours() -> None:
        word_frame_similarity(frames, words, lengths)

    taken = in_turn(
        7,
        {
            "ours": ours,
            "narrow": lambda: product(flat, real, 1344, 768),
            "wide": lambda: product(flat, real, 4096, 6000),
        },
    )
    slow = in_turn(1, {"ours": ours, "loop": lambda: loop(frames, words, lengths)})
    gemm = min(taken["narrow"], taken["wide"])
    rate = 2 * len(flat) * len(real) * WIDTH / gemm / 1e9
    measured = f"{CLIPS}x{CLIPS} in {whole:.0f} s, error {error:.0e}, {beyond:.0f} MB more"
    print_rows(
        [
            Row(
                "word-frame similarity",
                measured,
                f"GEMM alone, {rate:.0f} GFLOP/s",
                gemm / taken["ours"],
                0.85,
            ),
            Row(
                "word-frame similarity",
                f"{TENTH**2 / taken['ours'] / 1e3:.0f}k pairs/s",
                "loop over texts",
                slow["loop"] / slow["ours"],
                2.8,
            ),
        ]
    )


if __name__ == "__main__":
    main()

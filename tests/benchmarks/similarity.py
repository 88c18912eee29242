"""Word-frame similarity at ActivityNet's size: all 4,910 clips, a tenth of the captions (the work is the same for each)."""

import resource

import torch
from torch.nn import functional as F

from tests.benchmarks.table import Row, in_turn, tell
from train.similarity import word_frame_similarity

VIDEOS, TEXTS, FRAMES, WIDTH = 4910, 491, 24, 512
SHORTEST, LONGEST = 6, 18


def main() -> None:
    """Ours, the matrix product alone over the real words, and the loop over texts."""
    g = torch.Generator().manual_seed(0)
    frames = F.normalize(torch.randn(VIDEOS, FRAMES, WIDTH, generator=g), dim=-1)
    words = F.normalize(torch.randn(TEXTS, LONGEST, WIDTH, generator=g), dim=-1)
    lengths = torch.randint(SHORTEST, LONGEST + 1, (TEXTS,), generator=g)
    real = words[torch.arange(LONGEST) < lengths[:, None]]
    flat = frames.view(-1, WIDTH)

    def product(rows: int, columns: int) -> None:
        out = torch.empty(rows, columns)
        for a in flat.split(rows):
            for b in real.split(columns):
                if len(a) == rows and len(b) == columns:
                    torch.mm(a, b.T, out=out)
                else:
                    torch.mm(a, b.T)

    def loop() -> torch.Tensor:
        columns = []
        for text, length in zip(words, lengths.tolist(), strict=True):
            scores = (flat @ text[:length].T).view(VIDEOS, FRAMES, length)
            columns.append(0.5 * (scores.amax(1).mean(-1) + scores.amax(2).mean(-1)))
        return torch.stack(columns, 1)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours = word_frame_similarity(frames, words, lengths)
    beyond = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 - ours.nbytes / 2**20
    error = float((ours - loop()).abs().max())
    taken = in_turn(
        2,
        {
            "ours": lambda: word_frame_similarity(frames, words, lengths),
            "narrow": lambda: product(1344, 768),
            "wide": lambda: product(4096, len(real)),
            "loop": loop,
        },
    )
    gemm = min(taken["narrow"], taken["wide"])
    pairs = f"{VIDEOS * TEXTS / taken['ours'] / 1e3:.0f}k pairs/s"
    rate = 2 * flat.shape[0] * len(real) * WIDTH / gemm / 1e9
    tell(
        [
            Row(
                "word-frame similarity",
                f"{pairs}, error {error:.0e}, {beyond:.0f} MB more",
                f"GEMM alone, {rate:.0f} GFLOP/s",
                gemm / taken["ours"],
                0.85,
            ),
            Row("word-frame similarity", pairs, "loop over texts", taken["loop"] / taken["ours"], 2.8),
        ]
    )


if __name__ == "__main__":
    main()

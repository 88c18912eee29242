"""What is done to one unit of clips: decode, make views, run the stem, write. The engines run this and nothing else."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from cache.backbone import Stem
from cache.catalog import Clip
from cache.finite import all_finite
from cache.identity import Preprocessing
from cache.rows import RowTable
from cache.staging import ClipOutcome, StagedCache, write_tokens
from extract.decoder import Decoder
from extract.errors import ClipError
from extract.plan import ViewRule
from extract.views import make_views

UNIT = 16  # clips that one worker takes at a time


@dataclass(frozen=True)
class Work:
    """What every worker needs to know; small, and the same for all of them."""

    staging: Path
    root: Path
    decoder: str
    cut: int
    frames: int
    views: ViewRule
    device: str
    decode_timeout: float


class UnitRunner:
    """Runs units of clips. It holds what is dear to make: the stem, the decoder's process and the open token array."""

    def __init__(self, work: Work, stem: Stem, preprocessing: Preprocessing, rows: RowTable) -> None:
        self.work = work
        self.stem = stem.to(work.device)
        self.preprocessing = preprocessing
        self.rows = rows
        self.staged = StagedCache(work.staging)
        self.array = self.staged.open_tokens()
        self.decoder = Decoder(work.decode_timeout)

    def run(self, unit: int, clips: list[Clip]) -> None:
        """Do clips of a unit and write its receipt; what an earlier receipt says of its other clips stands."""
        outcomes = {outcome.clip: outcome for outcome in self.staged.receipt(unit) or ()}
        outcomes |= {clip.id: self._one(clip) for clip in clips}
        self.staged.write_receipt(unit, list(outcomes.values()))

    def _one(self, clip: Clip) -> ClipOutcome:
        try:
            frames = self.decoder.frames(self.work.root / clip.path, clip.start, clip.end, self.work.frames)
            pixels = make_views(frames, clip.id, self.rows.views(clip.id), self.work.views, self.preprocessing, self.work.device)
            tokens = encode(self.stem, pixels)
            if not all_finite(tokens):
                raise ClipError("nonfinite", "the stem's tokens do not fit float16")
        except ClipError as error:
            return ClipOutcome(clip.id, error.reason, error.message)
        for view, of_view in enumerate(tokens):
            write_tokens(self.array, self.rows.row(clip.id, view), of_view)
        return ClipOutcome(clip.id)

    def close(self) -> None:
        """End the decoder's process."""
        self.decoder.close()


def encode(stem: Stem, pixels: torch.Tensor) -> np.ndarray:
    """Views of one clip, float32 [V, N, 3, S, S], to tokens, float16 [V, N, 1 + patches, width]; one clip is one batch."""
    views, frames = pixels.shape[:2]
    tokens = stem(pixels.flatten(0, 1).to(next(stem.parameters()).device))
    return tokens.unflatten(0, (views, frames)).half().cpu().numpy()

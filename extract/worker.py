"""One batch of clips: decode, make views, run the stem, write. All that an executor runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache.catalog import Clip
from ..cache.clip.backbone import Stem
from ..cache.clip.identity import Preprocessing
from ..cache.tokens import RowTable, all_finite, write_tokens
from ..cache.writer import CacheWriter, ClipOutcome
from .settings import Augmentation
from .video.decoder import Decoder
from .video.errors import ClipError
from .video.views import make_views

BATCH = 16  # clips that one worker takes at a time


@dataclass(frozen=True)
class WorkerConfig:
    """What every worker needs to know; small, and the same for all of them."""

    folder: Path
    root: Path
    decoder: str
    cut: int
    frames: int
    views: Augmentation
    device: str
    decode_timeout: float


class ClipWorker:
    """Runs batches of clips with one stem, one decoder process and one open token array."""

    def __init__(
        self, config: WorkerConfig, stem: Stem, preprocessing: Preprocessing, rows: RowTable
    ) -> None:
        self.config = config
        self.stem = stem.to(config.device)
        self.preprocessing = preprocessing
        self.rows = rows
        self.writer = CacheWriter(config.folder)
        self.array = self.writer.open_tokens()
        self.decoder = Decoder(config.decode_timeout)

    def run(self, batch: int, clips: list[Clip]) -> None:
        """Do clips of a batch and write its record; its other clips' earlier outcomes are kept."""
        outcomes = {outcome.clip: outcome for outcome in self.writer.batch_record(batch) or ()}
        outcomes |= {clip.id: self._extract(clip) for clip in clips}
        self.writer.write_batch_record(batch, list(outcomes.values()))

    def _extract(self, clip: Clip) -> ClipOutcome:
        config, views = self.config, self.rows.views(clip.id)
        try:
            decoded = self.decoder.decode(
                config.root / clip.path, clip.start, clip.end, config.frames
            )
            pixels = make_views(
                decoded.frames, clip.id, views, config.views, self.preprocessing, config.device
            )
            tokens = encode(self.stem, pixels)
            if not all_finite(tokens):
                raise ClipError("nonfinite", "the stem's tokens do not fit float16")
        except ClipError as error:
            return ClipOutcome(clip.id, error.reason, error.message)
        except (MemoryError, torch.OutOfMemoryError) as error:
            return ClipOutcome(clip.id, "too_large", _one_line(error))
        except (RuntimeError, ValueError) as error:
            large = "alloc" in str(error).lower() or "out of memory" in str(error).lower()
            return ClipOutcome(clip.id, "too_large" if large else "decode_error", _one_line(error))
        for view, of_view in enumerate(tokens):
            write_tokens(self.array, self.rows.row(clip.id, view), of_view)
        is_beyond = clip.end is not None and clip.end > decoded.seconds
        return ClipOutcome(clip.id, video_ends=decoded.seconds if is_beyond else None)

    def close(self) -> None:
        """End the decoder's process."""
        self.decoder.close()


def encode(stem: Stem, pixels: torch.Tensor) -> NDArray[Any]:
    """Views of one clip, float32 [V, N, 3, S, S], to tokens, float16 [V, N, 1 + patches, width]."""
    views, frames = pixels.shape[:2]
    tokens = stem(pixels.flatten(0, 1).to(next(stem.parameters()).device))
    return np.asarray(tokens.unflatten(0, (views, frames)).half().cpu().numpy())


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]

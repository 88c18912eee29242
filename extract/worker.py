"""Clips in turn: decode, make views, run the stem, write. All that an engine runs."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache.catalog import Clip
from ..cache.clip.stem import Stem
from ..cache.tokens import RowTable, all_finite, write_tokens
from ..cache.writer import CacheWriter, ClipOutcome
from .settings import Augmentation
from .video.decoder import Decoded, Decoder
from .video.errors import ClipError
from .video.views import make_views

Batch = tuple[int, list[Clip]]
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


@dataclass
class Work:
    """What was done so far: clips, and the seconds that decoding and the rest took."""

    clips: int = 0
    decoding: float = 0.0
    encoding: float = 0.0


class ClipWorker:
    """Extracts clips with one stem, one decoder process and one open token array.

    The next clip is decoded while this one is encoded.
    """

    def __init__(self, config: WorkerConfig, stem: Stem, rows: RowTable) -> None:
        self.config = config
        self.stem = stem.to(config.device)
        self.rows = rows
        self.writer = CacheWriter(config.folder)
        self.array = self.writer.open_tokens()
        self.decoder = Decoder(config.decode_timeout)
        self.work = Work()

    def run(self, batches: Sequence[Batch]) -> Iterator[tuple[int, int]]:
        """Do batches, or parts of them, one after another. Yields (batch, clips done).

        A batch's record keeps the outcomes of its other clips.
        """
        done = self._extract([clip for _, clips in batches for clip in clips])
        for number, clips in batches:
            outcomes = {outcome.clip: outcome for outcome in self.writer.batch_record(number) or ()}
            outcomes |= {outcome.clip: outcome for outcome in islice(done, len(clips))}
            self.writer.write_batch_record(number, list(outcomes.values()))
            yield number, len(clips)

    def _extract(self, clips: list[Clip]) -> Iterator[ClipOutcome]:
        if clips:
            self._ask(clips[0])
        for clip, following in zip_longest(clips, clips[1:]):
            decoded = self._decoded()
            if following:
                self._ask(following)
            began = time.monotonic()
            outcome = self._encode(clip, decoded)
            self.work.clips += 1
            self.work.encoding += time.monotonic() - began
            yield outcome

    def _ask(self, clip: Clip) -> None:
        path = self.config.root / clip.path
        self.decoder.ask(path, clip.start, clip.end, self.config.frames)

    def _decoded(self) -> Decoded | ClipError:
        try:
            decoded = self.decoder.answer()
        except ClipError as error:
            return error
        self.work.decoding += decoded.took
        return decoded

    def _encode(self, clip: Clip, decoded: Decoded | ClipError) -> ClipOutcome:
        config, views = self.config, self.rows.views(clip.id)
        try:
            if isinstance(decoded, ClipError):
                raise decoded
            pixels = make_views(
                decoded.frames, clip.id, views, config.views, self.stem.preprocessing, config.device
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

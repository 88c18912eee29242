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

from ..backbones.stem import Stem
from ..cache.catalog import Clip
from ..cache.tokens import SHARD_CLIPS, ViewTable, all_finite
from ..cache.writer import CacheWriter, ClipOutcome
from .settings import Augmentation
from .video.decoder import Decoded, Decoder
from .video.errors import ClipError
from .video.views import make_views

Batch = tuple[int, list[Clip]]
Extracted = tuple[ClipOutcome, NDArray[np.float16] | None]


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
    """Extracts clips with one stem and one decoder process.

    The next clip is decoded while this one is encoded.
    """

    def __init__(self, config: WorkerConfig, stem: Stem, table: ViewTable) -> None:
        self.config = config
        self.stem = stem.to(config.device)
        self.table = table
        self.writer = CacheWriter(config.folder)
        self.decoder = Decoder(config.decode_timeout)
        self.work = Work()

    def run(self, batches: Sequence[Batch]) -> Iterator[tuple[int, int]]:
        """Do batches, or parts of them, one after another. Yields (batch, clips done).

        A batch's record keeps the outcomes of its other clips, its shard their tokens.
        """
        done = self._extract([clip for _, clips in batches for clip in clips])
        for number, clips in batches:
            outcomes = {outcome.clip: outcome for outcome in self.writer.batch_record(number) or ()}
            with self.writer.shard(number, self.table) as shard:
                for outcome, tokens in islice(done, len(clips)):
                    outcomes[outcome.clip] = outcome
                    slot = self.table.catalog.place(outcome.clip) % SHARD_CLIPS * self.table.most
                    shard.put(slot, self.table.most, tokens)
            self.writer.write_batch_record(number, list(outcomes.values()))
            yield number, len(clips)

    def _extract(self, clips: list[Clip]) -> Iterator[Extracted]:
        if clips:
            self._ask(clips[0])
        for clip, following in zip_longest(clips, clips[1:]):
            decoded = self._decoded()
            if following:
                self._ask(following)
            began = time.monotonic()
            extracted = self._encode(clip, decoded)
            self.work.clips += 1
            self.work.encoding += time.monotonic() - began
            yield extracted

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

    def _encode(self, clip: Clip, decoded: Decoded | ClipError) -> Extracted:
        config, views = self.config, self.table.views(clip.id)
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
            return ClipOutcome(clip.id, error.reason, error.message), None
        except (MemoryError, torch.OutOfMemoryError) as error:
            return ClipOutcome(clip.id, "too_large", _one_line(error)), None
        except (RuntimeError, ValueError) as error:
            large = "alloc" in str(error).lower() or "out of memory" in str(error).lower()
            reason = "too_large" if large else "decode_error"
            return ClipOutcome(clip.id, reason, _one_line(error)), None
        is_beyond = clip.end is not None and clip.end > decoded.seconds
        return ClipOutcome(clip.id, video_ends=decoded.seconds if is_beyond else None), tokens

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

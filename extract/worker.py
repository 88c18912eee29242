"""The work of every engine: decode clips, make views, run the stem, write the tokens."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..backbones.family import Stem
from ..cache.catalog import Clip
from ..cache.spec import Augmentation, CacheSpec
from ..cache.tokens import SHARD_CLIPS, ViewTable, all_finite
from ..cache.writer import CacheWriter, ClipOutcome
from .video.decoder import Decoded, Decoder
from .video.errors import ClipError
from .video.views import make_views

Batch = tuple[int, list[Clip]]  # number, clips: all of a batch, or those that are left
BatchOutcomes = tuple[int, list[ClipOutcome]]
Extracted = tuple[ClipOutcome, NDArray[np.float16] | None]


@dataclass(frozen=True)
class WorkerConfig:
    """What all workers of an extraction share; small, since Ray sends it to each of them."""

    folder: Path
    root: Path
    spec: CacheSpec
    device: str
    decode_timeout: float


@dataclass
class Work:
    """The clips so far, and the seconds spent on decoding them and on encoding them."""

    clips: int = 0
    decoding: float = 0.0
    encoding: float = 0.0


class ClipWorker:
    """Extracts clips with one stem and one decoder process, which decodes a clip ahead."""

    def __init__(self, config: WorkerConfig, stem: Stem, table: ViewTable) -> None:
        self.config = config
        self.stem = stem.to(config.device)
        self.table = table
        self.writer = CacheWriter(config.folder)
        self.decoder = Decoder(config.decode_timeout)
        self.work = Work()

    def run(self, batches: Sequence[Batch]) -> Iterator[BatchOutcomes]:
        """Extract batches one after another; yield each one's outcomes once its tokens are written.

        A shard keeps the tokens of its other clips.
        """
        extracted = self._extract([clip for _, clips in batches for clip in clips])
        for number, clips in batches:
            outcomes = []
            with self.writer.shard(number, self.table) as shard:
                for outcome, tokens in islice(extracted, len(clips)):
                    outcomes.append(outcome)
                    slot = self.table.catalog.index(outcome.clip) % SHARD_CLIPS * self.table.most
                    shard.put(slot, self.table.most, tokens)
            yield number, outcomes

    def _extract(self, clips: list[Clip]) -> Iterator[Extracted]:
        if clips:
            self._submit(clips[0])
        for clip, following in zip_longest(clips, clips[1:]):
            decoded = self._decoded()
            if following:
                self._submit(following)
            began = time.monotonic()
            extracted = self._encode(clip, decoded)
            self.work.clips += 1
            self.work.encoding += time.monotonic() - began
            yield extracted

    def _submit(self, clip: Clip) -> None:
        path, spec = self.config.root / clip.path, self.config.spec
        self.decoder.submit(path, clip.start, clip.end, spec.frames, spec.by_time)

    def _decoded(self) -> Decoded | ClipError:
        try:
            decoded = self.decoder.result()
        except ClipError as error:
            return error
        self.work.decoding += decoded.decode_seconds
        return decoded

    def _encode(self, clip: Clip, decoded: Decoded | ClipError) -> Extracted:
        config, views = self.config, self.table.views(clip.id)
        try:
            if isinstance(decoded, ClipError):
                raise decoded
            tokens = encode(self.stem, decoded.frames, clip.id, views, config.spec.augmentation)
            if not all_finite(tokens):
                raise ClipError("nonfinite", "the stem's tokens do not fit float16")
        except ClipError as error:
            return ClipOutcome(clip.id, error.reason, error.message), None
        except (MemoryError, torch.OutOfMemoryError) as error:
            return ClipOutcome(clip.id, "too_large", _one_line(error)), None
        except (RuntimeError, ValueError) as error:
            is_large = any(word in str(error).lower() for word in ("alloc", "out of memory"))
            reason = "too_large" if is_large else "decode_error"
            return ClipOutcome(clip.id, reason, _one_line(error)), None
        is_beyond = clip.end is not None and clip.end > decoded.seconds
        ends = decoded.seconds if is_beyond else None
        return ClipOutcome(clip.id, video_ends=ends, hdr=decoded.hdr, times=decoded.times), tokens

    def close(self) -> None:
        """End the decoder's process."""
        self.decoder.close()


def encode(
    stem: Stem, frames: NDArray[np.uint8], clip_id: str, views: int, augmentation: Augmentation
) -> NDArray[np.float16]:
    """The tokens of a clip's first ``views`` views, computed where the stem is.

    From RGB uint8 [frames, height, width, 3] to float16 [views, frames, 1 + patches, width].
    """
    device = next(stem.parameters()).device
    pixels = make_views(frames, clip_id, views, augmentation, stem.preprocessing, device)
    tokens = stem(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2])
    return np.asarray(tokens.half().cpu().numpy())


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]

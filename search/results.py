"""What a search found: clips with their scores, and the JSON of the command line and of HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache
from .explanation import WordMatch

SHOWN_WORDS = 24
ADDENDS = {
    "word_to_frame": "words to frames", "frame_to_word": "frames to words",
    "word_frame": "words and frames", "global": "whole clip",
}  # fmt: skip


def clip_json(cache: FeatureCache, clip: Clip) -> dict[str, Any]:
    """What the catalog says of a clip, and its times in seconds on a player's clock.

    None as ``start`` or ``end`` is the video's; as ``duration``, the cache does not know it.
    """
    start, end = _bounds(cache, clip)
    times = cache.times(clip.id)
    return {
        "clip": clip.id, "cache": cache.fingerprint, "category": clip.category,
        "split": clip.split, "captions": list(clip.captions), "path": clip.path,
        "start": start, "end": end, "duration": times and times.end,
    }  # fmt: skip


def _bounds(cache: FeatureCache, clip: Clip) -> tuple[float | None, float | None]:
    """Start and end of a clip on a player's clock; the catalog counts from the first frame."""
    times = cache.times(clip.id)
    begin = times.begin if times else 0.0
    ends = (clip.start, cache.video_ends.get(clip.id, clip.end))
    start, end = (None if seconds is None else seconds + begin for seconds in ends)
    return start, end


@dataclass(frozen=True)
class SearchResult:
    """One clip, the ``task`` that learnt it (None: of an added cache), and why it was found.

    ``score`` ranks the clips: the sum of ``score_parts``, standardised similarities, of which
    word-frame similarity is split into its two directions. ``similarities`` are cosines by name.
    ``copies`` are the other clips searched that show the same, each with its cache: equal files
    and times. ``frame``, ``matches`` and ``frame_words`` are those of ``Explanation``.
    """

    clip: Clip
    cache: FeatureCache
    task: int | None
    score: float
    score_parts: dict[str, float]
    similarities: dict[str, float]
    copies: tuple[tuple[Clip, FeatureCache], ...] = ()
    frame: int = 1
    matches: tuple[WordMatch, ...] = ()
    frame_words: tuple[WordMatch, ...] = ()

    @property
    def times(self) -> tuple[float, ...]:
        """When a player shows each frame, in seconds; empty where the cache does not know it."""
        times = self.cache.times(self.clip.id)
        return times.frames if times else ()

    @property
    def time(self) -> float | None:
        """When a player shows the frame that fits the query best, in seconds."""
        return self.times[self.frame - 1] if self.times else None

    def to_json(self) -> dict[str, Any]:
        """Plain values: the same keys on the command line and by HTTP."""
        return {
            **clip_json(self.cache, self.clip), "task": self.task,
            "score": self.score, "score_parts": self.score_parts,
            "word_frame": self.similarities.get("word_frame"),
            "global": self.similarities.get("global"),
            "frame": self.frame, "frame_count": self.cache.spec.frames,
            "time": self.time, "times": list(self.times),
            "copies": [
                {"clip": clip.id, "cache": cache.fingerprint, "path": clip.path}
                for clip, cache in self.copies
            ],
            "matches": [vars(match) for match in self.matches],
            "frame_words": [vars(match) for match in self.frame_words],
        }  # fmt: skip


@dataclass(frozen=True)
class SearchResults:
    """The best of the ``clips`` (their number) that were searched, the best first.

    ``query``: the words, or the name of the video that was searched with; ``is_truncated``: it is
    longer than the text tower reads, and its end was not used.
    """

    query: str
    clips: int
    is_truncated: bool
    results: tuple[SearchResult, ...]

    def __iter__(self) -> Iterator[SearchResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> SearchResult:
        return self.results[index]

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``rank`` is from 1."""
        return {
            "query": self.query, "clips": self.clips, "truncated": self.is_truncated,
            "results": [{"rank": rank, **result.to_json()} for rank, result in enumerate(self, 1)],
        }  # fmt: skip

    def table(self) -> str:
        """For each clip its score and time, and below them where the score comes from."""
        lines = [f"{self.clips} clips searched"]
        for rank, result in enumerate(self, 1):
            clip = result.clip
            time = _time(*_bounds(result.cache, clip), result.time)
            lines.append(
                f"{rank:>3}. {result.score:+.2f}  {clip.id}  {time}  {clip.path}  ({clip.category})"
            )
            if result.copies:
                names = ", ".join(f"{clip.id} ({clip.path})" for clip, _ in result.copies)
                lines.append(f"     the same video: {names}")
            if len(result.score_parts) > 1:
                addends = [f"{x:+.2f} {ADDENDS.get(n, n)}" for n, x in result.score_parts.items()]
                lines.append(f"     = {' '.join(addends)}")
            if matches := result.matches:
                words = [f"{m.word}→{m.frame} ({m.cosine:.2f})" for m in matches[:SHOWN_WORDS]]
                more = " ..." * (len(matches) > SHOWN_WORDS)
                frames = f"     word→frame of {result.cache.spec.frames} (cosine): "
                lines.append(f"{frames}{'  '.join(words)}{more}")
        return "\n".join(lines)


def _time(start: float | None, end: float | None, best: float | None) -> str:
    at = "" if best is None else f", best at {best:.1f} s"
    if start is None and end is None:
        return f"whole video{at}"
    return f"{start or 0:.1f} to {'end' if end is None else f'{end:.1f} s'}{at}"

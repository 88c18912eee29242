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
    """What the catalog says of a clip.

    ``start`` and ``end`` are seconds; ``end`` is the video's own where that comes first. None means
    the start or the end of the video.
    """
    return {
        "clip": clip.id, "cache": cache.fingerprint, "category": clip.category,
        "split": clip.split, "captions": list(clip.captions), "path": clip.path,
        "start": clip.start, "end": cache.video_ends.get(clip.id, clip.end),
    }  # fmt: skip


@dataclass(frozen=True)
class SearchResult:
    """One clip.

    Attributes:
        task: the task that learnt the clip; None for a clip of an added cache.
        score: what ranks the clips, a sum of standardised similarities.
        score_parts: the addends of the score by similarity; word-frame similarity as its two
            directions, ``word_to_frame`` and ``frame_to_word``.
        similarities: each similarity by name before it is standardised; cosines from -1 to 1.
        frame: the frame that fits the query best, from 1.
        matches: for each word of the query, the frame that fits it best; empty for a method that
            compares whole clips, as is ``frame_words``.
        frame_words: for each frame, the word that fits it best.
    """

    clip: Clip
    cache: FeatureCache
    task: int | None
    score: float
    score_parts: dict[str, float]
    similarities: dict[str, float]
    frame: int
    matches: tuple[WordMatch, ...]
    frame_words: tuple[WordMatch, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values: the same keys on the command line and by HTTP."""
        return {
            **clip_json(self.cache, self.clip), "task": self.task,
            "score": self.score, "score_parts": self.score_parts,
            "word_frame": self.similarities.get("word_frame"),
            "global": self.similarities.get("global"),
            "frame": self.frame, "frame_count": self.cache.spec.frames,
            "matches": [vars(match) for match in self.matches],
            "frame_words": [vars(match) for match in self.frame_words],
        }  # fmt: skip


@dataclass(frozen=True)
class SearchResults:
    """The best clips of a search, the best first.

    Attributes:
        query: the words, or the name of the video that was searched with.
        clips: how many clips were searched.
        is_truncated: the query is longer than the text tower reads; its end was not used.
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
            time = _time(clip.start, result.cache.video_ends.get(clip.id, clip.end))
            lines.append(
                f"{rank:>3}. {result.score:+.2f}  {clip.id}  {time}  {clip.path}  ({clip.category})"
            )
            if len(result.score_parts) > 1:
                addends = result.score_parts.items()
                lines.append(
                    "     = "
                    + " ".join(f"{x:+.2f} {ADDENDS.get(name, name)}" for name, x in addends)
                )
            if matches := result.matches:
                words = "  ".join(
                    f"{match.word}→{match.frame} ({match.cosine:.2f})"
                    for match in matches[:SHOWN_WORDS]
                )
                more = " ..." if len(matches) > SHOWN_WORDS else ""
                frames = result.cache.spec.frames
                lines.append(f"     word→frame of {frames} (cosine): {words}{more}")
        return "\n".join(lines)


def _time(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return "whole video"
    return f"{start or 0:.1f} to {'end' if end is None else f'{end:.1f} s'}"

"""What a search found, and why: clips, scores, words and frames."""

from dataclasses import dataclass
from typing import Any

from ..cache.catalog import Clip
from ..cache.reader import FeatureCache

SHOWN_WORDS = 24


@dataclass(frozen=True)
class WordMatch:
    """A word of the query, the frame that answers it best (1-based), and their cosine.

    The cosine is the mean over the word's pieces, where the tokenizer cuts it.
    """

    word: str
    frame: int
    cosine: float


@dataclass(frozen=True)
class Where:
    """Which clips are searched: of one task, category or cache (a fingerprint); None is any."""

    task: int | None = None
    category: str | None = None
    cache: str | None = None


@dataclass(frozen=True)
class SearchResult:
    """One clip. ``score`` = ``word_frame`` + ``global_``: standardised parts that add up.

    ``word_frame`` = ``word_to_frame`` + ``frame_to_word``; they are None, and ``matches`` and
    ``frame_words`` are empty, for a method that compares whole clips. ``cosines`` has each
    similarity as it is, before it is standardised; ``frame_words`` the word that answers each frame
    best. ``task``:
    the one that learnt the clip, None for one that was only added.
    """

    clip: Clip
    cache: FeatureCache
    score: float
    word_frame: float | None
    global_: float
    word_to_frame: float | None
    frame_to_word: float | None
    matches: tuple[WordMatch, ...]
    frame: int
    frames: int
    cosines: dict[str, float]
    frame_words: tuple[WordMatch, ...]
    task: int | None

    @property
    def end(self) -> float | None:
        """Seconds at which what is shown ends: the clip's end, or its video's where that is before.

        None for the end of a video of any length.
        """
        return self.cache.video_ends.get(self.clip.id, self.clip.end)

    def to_json(self) -> dict[str, Any]:
        """Plain values under the contract's names."""
        clip, end = self.clip, self.end
        return {
            "clip": clip.id, "score": self.score, "word_frame": self.word_frame,
            "global": self.global_, "start": clip.start, "end": end, "path": clip.path,
            "word_to_frame": self.word_to_frame, "frame_to_word": self.frame_to_word,
            "category": clip.category, "split": clip.split, "captions": list(clip.captions),
            "best_frame": self.frame + 1, "frames": self.frames, "cache": self.cache.fingerprint,
            "words": [vars(match) for match in self.matches], "cosines": self.cosines,
        }  # fmt: skip


@dataclass(frozen=True)
class SearchResults:
    """The best clips, best first, out of ``clips`` that were searched.

    ``is_truncated``: the query is longer than the text tower reads; its end was not used.
    """

    query: str
    clips: int
    is_truncated: bool
    results: tuple[SearchResult, ...]

    def __iter__(self) -> Any:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, index: int) -> SearchResult:
        return self.results[index]

    def to_json(self) -> dict[str, Any]:
        """Plain values under the contract's names."""
        rows = [one.to_json() for one in self.results]
        return {"query": self.query, "clips": self.clips, "results": rows}

    def table(self) -> str:
        """Score, clip and time, and below it where the score comes from."""
        lines = [f"{self.clips} clips searched"]
        for place, one in enumerate(self.results, 1):
            path, category = one.clip.path, one.clip.category
            time = _time(one.clip.start, one.end)
            lines.append(
                f"{place:>3}. {one.score:+.2f}  {one.clip.id}  {time}  {path}  ({category})"
            )
            if one.word_frame is not None:
                lines.append(
                    f"     = {one.word_to_frame:+.2f} words to frames "
                    f"{one.frame_to_word:+.2f} frames to words {one.global_:+.2f} whole clip"
                )
                shown = one.matches[:SHOWN_WORDS]
                words = "  ".join(
                    f"{match.word}→{match.frame} ({match.cosine:.2f})" for match in shown
                )
                more = " ..." if len(one.matches) > SHOWN_WORDS else ""
                lines.append(f"     word→frame of {one.frames} (cosine): {words}{more}")
        return "\n".join(lines)


def _time(start: float | None, end: float | None) -> str:
    if start is None and end is None:
        return "whole video"
    return f"{start or 0:.1f} to {'end' if end is None else f'{end:.1f} s'}"

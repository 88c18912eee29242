"""Search results for people and for scripts."""

from typing import Any

from cache.catalog import Clip
from evaluate.search import Found


def as_json_rows(found: list[Found]) -> list[dict[str, Any]]:
    """One object a clip; ``word_frame`` and ``global`` add up to ``score``, the two directions to ``word_frame``."""
    return [
        {
            "clip": one.clip.id, "score": one.score, "word_frame": one.word_frame, "global": one.global_,
            "start": one.clip.start, "end": one.clip.end, "path": one.clip.path,
            "word_to_frame": one.word_to_frame, "frame_to_word": one.frame_to_word, "category": one.clip.category,
            "captions": list(one.clip.captions), "best_frame": one.frame + 1, "frames": one.frames, "cache": one.cache.fingerprint,
            "words": [{"word": match.word, "frame": match.frame, "cosine": match.cosine} for match in one.matches],
        }
        for one in found
    ]  # fmt: skip


def found_table(found: list[Found]) -> str:
    """Best first: score, clip, time, and below it where the score comes from."""
    lines = []
    for place, one in enumerate(found, 1):
        lines.append(f"{place:>3}. {one.score:+.2f}  {one.clip.id}  {_time(one.clip)}  {_plain(one.clip.path)}  ({_plain(one.clip.category)})")
        if one.word_frame is not None:
            lines.append(f"     = {one.word_to_frame:+.2f} words to frames {one.frame_to_word:+.2f} frames to words {one.global_:+.2f} whole clip")
            words = "  ".join(f"{_plain(match.word)}→{match.frame} ({match.cosine:.2f})" for match in one.matches[:24])
            lines.append(f"     word→frame of {one.frames} (cosine): {words}{' ...' if len(one.matches) > 24 else ''}")
    return "\n".join(lines)


def _time(clip: Clip) -> str:
    if clip.start is None and clip.end is None:
        return "whole video"
    end = "end" if clip.end is None else f"{clip.end:.1f} s"
    return f"{clip.start or 0:.1f} to {end}"


def _plain(text: str) -> str:
    """Foreign text without anything that steers a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)

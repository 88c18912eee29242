"""Search results as the API's JSON."""

from urllib.parse import quote, urlencode

from pydantic import BaseModel

from ..results import SearchResult, SearchResults


class Match(BaseModel):
    """A word, a frame (from 1) and their cosine."""

    word: str
    frame: int
    cosine: float


class Hit(BaseModel):
    """A clip that was found. ``word_frame`` and ``global`` are cosines; ``rank`` is from 1.

    ``matches``: the frame that answers each word best; ``frames``: the word that answers each frame
    best. ``frame`` is the best one, from 1, of ``frame_count`` over ``start`` to ``end`` (seconds;
    null for the video's own).
    """

    rank: int
    clip: str
    cache: str
    category: str
    split: str
    task: int | None
    captions: list[str]
    video: str
    thumbnail: str
    start: float | None
    end: float | None
    frame: int
    frame_count: int
    word_frame: float | None
    global_: float | None
    matches: list[Match]
    frames: list[Match]

    model_config = {
        "alias_generator": lambda name: "global" if name == "global_" else name,
        "populate_by_name": True,
    }


class Answer(BaseModel):
    """The clips that fit a query best, out of ``clips`` that were searched."""

    query: str
    run: str
    clips: int
    truncated: bool
    results: list[Hit]


def make_answer(found: SearchResults, run: str) -> Answer:
    """What a search in ``run`` found."""
    hits = [_hit(one, rank) for rank, one in enumerate(found, 1)]
    return Answer(
        query=found.query, run=run, clips=found.clips, truncated=found.is_truncated, results=hits
    )


def _hit(one: SearchResult, rank: int) -> Hit:
    clip = one.clip
    return Hit(
        rank=rank, clip=clip.id, cache=one.cache.fingerprint, category=clip.category,
        split=clip.split, task=one.task, captions=list(clip.captions),
        **links(clip.id, one.cache.fingerprint), start=clip.start, end=one.end,
        frame=one.frame + 1, frame_count=one.frames, word_frame=one.cosines.get("word_frame"),
        global_=one.cosines.get("global"), matches=[Match(**vars(m)) for m in one.matches],
        frames=[Match(**vars(m)) for m in one.frame_words],
    )  # fmt: skip


def links(clip: str, cache: str) -> dict[str, str]:
    """Where a clip's video and picture are."""
    asked = urlencode({"cache": cache})
    base = f"/api/clips/{quote(clip, safe='')}"
    return {"video": f"{base}/video?{asked}", "thumbnail": f"{base}/thumbnail?{asked}"}

"""The models of the API's JSON."""

from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, Field

from ..explanation import WordMatch
from ..results import SearchResults


class Copy(BaseModel):
    """Another clip that shows the same as a result: of an equal file, at equal times."""

    clip: str
    cache: str
    path: str


class Result(BaseModel):
    """A clip, as ``structalign search --json`` prints it, with the addresses of its files.

    ``score`` ranks the clips: a sum of standardised similarities, ``score_parts``. ``word_frame``
    and ``global`` are cosines; null where the method does not compute them. ``frame`` fits the
    query best, from 1, out of ``frame_count`` between ``start`` and ``end`` (null for the video's
    own). ``time`` is when a player shows it, ``times`` when it shows each of them, ``duration``
    when the video's last frame ends, all in seconds of the player's clock; caches of version 0.3
    have none of these. ``matches``: the best frame for each word; ``frame_words``: the best word
    for each frame. ``task`` learnt the clip; null for a clip of an added cache.
    """

    model_config = ConfigDict(extra="forbid")

    rank: int
    clip: str
    cache: str
    category: str
    split: str
    captions: list[str]
    path: str
    start: float | None
    end: float | None
    duration: float | None
    task: int | None
    score: float
    score_parts: dict[str, float]
    word_frame: float | None
    global_: float | None = Field(alias="global")
    frame: int
    frame_count: int
    time: float | None
    times: list[float]
    copies: list[Copy]
    matches: list[WordMatch]
    frame_words: list[WordMatch]
    video: str
    thumbnail: str


class SearchResponse(BaseModel):
    """The best clips, the best first, out of ``clips`` that were searched.

    ``truncated``: the query is longer than the text tower reads; its end was not used.
    """

    model_config = ConfigDict(extra="forbid")

    query: str
    run: str
    clips: int
    truncated: bool
    results: list[Result]


def make_response(results: SearchResults, run: str) -> SearchResponse:
    """The results of a search in ``run``, with links."""
    body = results.to_json()
    for result in body["results"]:
        result.update(links(result["clip"], result["cache"]))
    return SearchResponse(run=run, **body)


def links(clip: str, cache: str) -> dict[str, str]:
    """The addresses of a clip's video and picture."""
    parameters = urlencode({"cache": cache})
    base = f"/api/clips/{quote(clip, safe='')}"
    return {"video": f"{base}/video?{parameters}", "thumbnail": f"{base}/thumbnail?{parameters}"}

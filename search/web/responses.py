"""What the API answers: the models of its JSON, and how it refuses."""

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from ..explanation import WordMatch
from ..results import SearchResults

REFUSALS = {
    400: "The request cannot be parsed.",
    401: "A token is needed.",
    403: "Requests from other sites are refused.",
    404: "No such clip or frame, or no video of it that may be served.",
    411: "A body needs a Content-Length.",
    413: "The body is too large.",
    416: "The file has no such range.",
    421: "This server answers only to its own address.",
    422: "A value is missing or wrong; the detail says which.",
    503: "Too many requests at once; try again.",
}
Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
# Beside SkipJsonSchema, FastAPI's document leaves a bound out.
FROM_1: dict[str, Any] = {"json_schema_extra": {"minimum": 1}}
ANYWHERE = (400, 401, 411, 413, 421)


class Problem(BaseModel):
    """Why a request was refused, in one line."""

    detail: str


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of a route that refuses with these statuses, besides ``ANYWHERE``."""
    return {
        status: {"model": Problem, "description": REFUSALS[status]}
        for status in sorted({*ANYWHERE, *statuses})
    }


def readable(
    routes: APIRouter | FastAPI, path: str, **options: Any
) -> Callable[[Endpoint], Endpoint]:
    """A route for GET, and for HEAD, which the OpenAPI document does not list."""

    def register(function: Endpoint) -> Endpoint:
        routes.head(path, **{**options, "include_in_schema": False})(function)
        return routes.get(path, **options)(function)

    return register


class Health(BaseModel):
    """The server answers; its version."""

    status: str
    version: str


class CacheSummary(BaseModel):
    """A cache that is searched."""

    fingerprint: str
    dataset: str


class RunSummary(BaseModel):
    """A run that can be searched, and the values of each filter; ``tasks``: their categories."""

    name: str
    method: str
    clips: int
    frames: int
    tasks: list[list[str]]
    categories: list[str]
    caches: list[CacheSummary]


class ClipEntry(BaseModel):
    """A clip as the catalog has it, its times in seconds, and the addresses of its files."""

    clip: str
    cache: str
    category: str
    split: str
    captions: list[str]
    path: str
    start: float | None
    end: float | None
    duration: float | None
    video: str
    thumbnail: str


class Copy(BaseModel):
    """Another clip that shows the same as a result: of an equal file, at equal times."""

    clip: str
    cache: str
    path: str


class Result(ClipEntry):
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

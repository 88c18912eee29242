"""Searching by words, and by an uploaded video or picture."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, File, HTTPException, Query, Request, UploadFile
from pydantic.json_schema import SkipJsonSchema

from ...core.errors import StructAlignError
from ..parts import ClipFilter
from ..results import SearchResults
from .concurrency import ConcurrencyLimit
from .registry import RunRegistry
from .responses import FROM_1, RunSummary, SearchResponse, make_response, readable, refusals

MAX_QUERY, MAX_TOP = 500, 100  # characters; results
WORD = {"pattern": r"[^\s\x00-\x20\x7f-\xa0]"}  # a query of blanks is refused
Text = str | SkipJsonSchema[None]


@dataclass(frozen=True)
class SearchParameters:
    """What every search takes: how many clips, the run (default the first), and a filter."""

    top: Annotated[int, Query(ge=1, le=MAX_TOP)] = 12
    run: Text = None
    task: Annotated[int | SkipJsonSchema[None], Query(ge=1, **FROM_1)] = None
    category: Text = None
    cache: Text = None

    @property
    def where(self) -> ClipFilter:
        """The clips to search."""
        return ClipFilter(self.task, self.category, self.cache)


def search_routes(registry: RunRegistry, limit: ConcurrencyLimit) -> APIRouter:
    """The routes of runs and searches."""
    routes = APIRouter(prefix="/api")

    @readable(routes, "/runs", responses=refusals())
    async def runs() -> list[RunSummary]:
        """The runs that can be searched, with their tasks, categories and caches."""
        return [RunSummary(**served.describe()) for served in registry.runs.values()]

    @readable(routes, "/search", responses=refusals(422, 503))
    async def search(
        request: Request,
        q: Annotated[str, Query(min_length=1, max_length=MAX_QUERY, json_schema_extra=WORD)],
        parameters: Annotated[SearchParameters, Depends()],
    ) -> SearchResponse:
        """The clips that fit some words best."""
        served = registry.run(parameters.run)
        async with limit(request.receive):
            results = await anyio.to_thread.run_sync(
                served.searcher.search, q, parameters.top, parameters.where
            )
        return make_response(results, served.name)

    @routes.post("/search", responses=refusals(403, 422, 503))
    async def search_alike(
        request: Request,
        file: Annotated[UploadFile, File()],
        parameters: Annotated[SearchParameters, Depends()],
    ) -> SearchResponse:
        """The clips most like an uploaded video or picture."""
        served = registry.run(parameters.run)
        name = Path(file.filename or "upload").name
        name = name.encode(errors="replace").decode()  # its charset may allow lone surrogates
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload"

            def compute() -> SearchResults:
                with path.open("wb") as out:
                    shutil.copyfileobj(file.file, out)
                with registry.encoding:
                    video = served.searcher.run.encode_video(path)
                return served.searcher.search_alike(video, name, parameters.top, parameters.where)

            async with limit(request.receive):
                try:
                    results = await anyio.to_thread.run_sync(compute)
                except StructAlignError as error:
                    message = str(error).replace(str(path), name)
                    raise HTTPException(422, message) from error
        return make_response(results, served.name)

    return routes

"""Searching by words, and by an uploaded video or picture."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, File, HTTPException, Query, Request, UploadFile

from ...core.errors import StructAlignError
from ..parts import ClipFilter
from ..results import SearchResults
from .concurrency import ConcurrencyLimit
from .registry import RunRegistry
from .responses import SearchResponse, make_response

MAX_QUERY, MAX_TOP = 500, 100  # characters; results


@dataclass(frozen=True)
class SearchParameters:
    """What every search takes: how many clips, the run (default the first), and a filter."""

    top: Annotated[int, Query(ge=1, le=MAX_TOP)] = 12
    run: str | None = None
    task: Annotated[int | None, Query(ge=1)] = None
    category: str | None = None
    cache: str | None = None

    @property
    def where(self) -> ClipFilter:
        """The clips to search."""
        return ClipFilter(self.task, self.category, self.cache)


def search_routes(registry: RunRegistry, limit: ConcurrencyLimit) -> APIRouter:
    """The routes of runs and searches."""
    routes = APIRouter(prefix="/api")

    @routes.get("/runs")
    async def runs() -> list[dict[str, Any]]:
        """The runs that can be searched, with their tasks, categories and caches."""
        return [served.describe() for served in registry.runs.values()]

    @routes.get("/search")
    async def search(
        request: Request,
        q: Annotated[str, Query(min_length=1, max_length=MAX_QUERY)],
        parameters: Annotated[SearchParameters, Depends()],
    ) -> SearchResponse:
        """The clips that fit some words best."""
        served = registry.run(parameters.run)
        async with limit(request.receive):
            results = await anyio.to_thread.run_sync(
                served.searcher.search, q, parameters.top, parameters.where
            )
        return make_response(results, served.name)

    @routes.post("/search")
    async def search_alike(
        request: Request,
        file: Annotated[UploadFile, File()],
        parameters: Annotated[SearchParameters, Depends()],
    ) -> SearchResponse:
        """The clips most like an uploaded video or picture."""
        served = registry.run(parameters.run)
        name = Path(file.filename or "upload").name
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

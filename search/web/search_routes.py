"""Searching by words, and by a video or picture that is sent along."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, File, HTTPException, Query, UploadFile

from ...core.errors import StructAlignError
from ..results import SearchResults, Where
from .answers import Answer, make_answer
from .library import Library
from .turns import Turn

LONGEST_QUERY, MOST_CLIPS = 500, 100  # characters; of one answer


@dataclass(frozen=True)
class Asked:
    """What every search may say: how many clips, of which run, and which of its clips."""

    top: Annotated[int, Query(ge=1, le=MOST_CLIPS)] = 12
    run: str | None = None
    task: Annotated[int | None, Query(ge=1)] = None
    category: str | None = None
    cache: str | None = None

    @property
    def where(self) -> Where:
        """The clips that are searched."""
        return Where(self.task, self.category, self.cache)


def search_routes(library: Library, turn: Turn) -> APIRouter:
    """Runs, and searching them."""
    routes = APIRouter(prefix="/api")

    @routes.get("/runs")
    async def runs() -> list[dict[str, Any]]:
        """The runs that can be searched, with their tasks, categories and caches."""
        return [one.describe() for one in library.served.values()]

    @routes.get("/search")
    async def search(
        q: Annotated[str, Query(min_length=1, max_length=LONGEST_QUERY)],
        asked: Annotated[Asked, Depends()],
    ) -> Answer:
        """The clips that fit some words best."""
        one = library.run(asked.run)
        async with turn():
            found = await anyio.to_thread.run_sync(one.searcher.search, q, asked.top, asked.where)
        return make_answer(found, one.name)

    @routes.post("/search")
    async def search_alike(
        file: Annotated[UploadFile, File()], asked: Annotated[Asked, Depends()]
    ) -> Answer:
        """The clips most like a video or a picture that is sent along."""
        one = library.run(asked.run)
        name = Path(file.filename or "upload").name
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upload"
            await _receive(file, path)

            def compute() -> SearchResults:
                with library.encoding:
                    video = one.run.encode_video(path)
                return one.searcher.search_alike(video, name, asked.top, asked.where)

            async with turn():
                try:
                    found = await anyio.to_thread.run_sync(compute)
                except StructAlignError as error:
                    told = str(error).replace(str(path), name)
                    raise HTTPException(422, told) from error
        return make_answer(found, one.name)

    return routes


async def _receive(file: UploadFile, path: Path) -> None:
    """Write an upload to a file."""
    with path.open("wb") as out:
        while block := await file.read(2**20):
            out.write(block)

"""The clips of the served caches: what is known of them, their videos and pictures."""

from typing import Any

import anyio
from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from ..thumbnails import middle_frames
from .answers import links
from .library import Library, NotServedError
from .turns import Turn

DAY = "private, max-age=86400"


def clip_routes(library: Library, turn: Turn) -> APIRouter:
    """One clip by its name; ``cache`` says which, where several have it."""
    routes = APIRouter(prefix="/api/clips")

    @routes.get("/{name}")
    async def clip(name: str, cache: str | None = None) -> dict[str, Any]:
        """What the catalog says of a clip."""
        found, of = library.clip(name, cache)
        return {
            "clip": of.id, "cache": found.fingerprint, "category": of.category, "split": of.split,
            "captions": list(of.captions), "start": of.start,
            "end": found.video_ends.get(of.id, of.end), **links(of.id, found.fingerprint),
        }  # fmt: skip

    @routes.get("/{name}/video")
    async def video(name: str, cache: str | None = None) -> FileResponse:
        """A clip's whole video file; answers range requests."""
        return FileResponse(library.video(name, cache), headers={"Cache-Control": DAY})

    @routes.get("/{name}/thumbnail")
    async def thumbnail(name: str, cache: str | None = None) -> Response:
        """The middle frame of a clip as a small JPEG."""
        library.video(name, cache)
        async with turn():
            found = await anyio.to_thread.run_sync(middle_frames, [library.clip(name, cache)])
        if found[0] is None:
            raise NotServedError(f"the video of {name!r} does not decode")
        return Response(found[0], media_type="image/jpeg", headers={"Cache-Control": DAY})

    return routes

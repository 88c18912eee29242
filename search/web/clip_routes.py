"""The clips of the served caches: their catalog entries, videos and pictures."""

from typing import Any

import anyio
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse

from ..results import clip_json
from ..thumbnails import middle_frames
from .concurrency import ConcurrencyLimit
from .registry import NotServedError, RunRegistry
from .responses import links

DAY = "private, max-age=86400"


def clip_routes(registry: RunRegistry, limit: ConcurrencyLimit) -> APIRouter:
    """The routes of one clip by its id; ``cache`` tells caches with the same id apart.

    An id may hold slashes, so the entry of a clip is the last route.
    """
    routes = APIRouter(prefix="/api/clips")

    @routes.get("/{name:path}/video")
    def video(name: str, cache: str | None = None) -> FileResponse:
        """A clip's whole video file; answers range requests."""
        return FileResponse(registry.video(name, cache), headers={"Cache-Control": DAY})

    @routes.get("/{name:path}/thumbnail")
    async def thumbnail(request: Request, name: str, cache: str | None = None) -> Response:
        """The middle frame of a clip as a small JPEG."""
        async with limit(request.receive):
            await anyio.to_thread.run_sync(registry.video, name, cache)
            (picture,) = await anyio.to_thread.run_sync(
                middle_frames, [registry.clip(name, cache)], registry.files
            )
        if picture is None:
            raise NotServedError(f"the video of {name!r} does not decode")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": DAY})

    @routes.get("/{name:path}")
    async def clip(name: str, cache: str | None = None) -> dict[str, Any]:
        """A clip's catalog entry and links."""
        holder, entry = registry.clip(name, cache)
        return {**clip_json(holder, entry), **links(entry.id, holder.fingerprint)}

    return routes

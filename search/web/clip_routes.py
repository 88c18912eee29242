"""The clips of the served caches: their catalog entries, videos and pictures."""

from threading import Lock
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from ...extract.video.decoder import Decoder
from ..results import clip_json
from ..thumbnails import frame_picture
from .concurrency import ConcurrencyLimit
from .files import file_response, unchanged
from .registry import NotServedError, RunRegistry
from .responses import FROM_1, ClipEntry, links, readable, refusals

DAY = "private, max-age=86400"
Cache = Annotated[
    str | SkipJsonSchema[None],
    Query(description="the fingerprint of its cache, where several have a clip of this name"),
]
Frame = Annotated[
    int | SkipJsonSchema[None],
    Query(ge=1, description="a sampled frame, from 1; by default the middle", **FROM_1),
]
BYTES = {"schema": {"type": "string", "format": "binary"}}
VIDEO: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The whole file.",
        "content": {"video/*": BYTES, "image/*": BYTES, "application/octet-stream": BYTES},
    },
    206: {"description": "Ranges of the file.", "content": {"*/*": BYTES}},
    304: {"description": "The client has it."},
    416: {"description": "The file has no such range."},
}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The frame.", "content": {"image/jpeg": BYTES}},
    304: {"description": "The client has it."},
}


def clip_routes(registry: RunRegistry, limit: ConcurrencyLimit) -> APIRouter:
    """The routes of one clip by its id; ``cache`` tells caches with the same id apart.

    An id may hold slashes, so the entry of a clip is the last route.
    """
    routes = APIRouter(prefix="/api/clips")
    decoder, turn = Decoder(), Lock()  # its process starts with the first picture

    def picture_of(name: str, cache: str | None, frame: int | None) -> bytes | None:
        with turn:
            return frame_picture(decoder, registry.files, *registry.clip(name, cache), frame)

    @readable(
        routes,
        "/{name:path}/video",
        response_class=Response,
        responses={**refusals(404, 422), **VIDEO},
    )
    def video(request: Request, name: str, cache: Cache = None) -> Response:
        """A clip's whole video file; answers range requests."""
        path, sha256 = registry.video(name, cache)
        headers = {"Cache-Control": DAY, "ETag": f'"{sha256}"'}
        return file_response(request, path, headers)

    @readable(
        routes,
        "/{name:path}/thumbnail",
        response_class=Response,
        responses={**refusals(404, 422, 503), **PICTURE},
    )
    async def thumbnail(
        request: Request, name: str, cache: Cache = None, frame: Frame = None
    ) -> Response:
        """A frame of a clip as a small JPEG."""
        holder, _ = registry.clip(name, cache)
        frames = holder.spec.frames
        if frame is not None and frame > frames:
            raise NotServedError(f"no frame {frame}; the clips of this cache have {frames}")
        tag = f"{holder.fingerprint[:32]}-{frame or 'middle'}"
        headers = {"Cache-Control": DAY, "ETag": f'"{tag}"'}
        await anyio.to_thread.run_sync(registry.video, name, cache)
        if (same := unchanged(request, headers)) is not None:
            return same
        async with limit(request.receive):
            picture = await anyio.to_thread.run_sync(picture_of, name, cache, frame)
        if picture is None:
            raise NotServedError(f"the video of {name!r} does not decode")
        return Response(picture, media_type="image/jpeg", headers=headers)

    @readable(routes, "/{name:path}", responses=refusals(404, 422))
    async def clip(name: str, cache: Cache = None) -> ClipEntry:
        """A clip's catalog entry and links."""
        holder, entry = registry.clip(name, cache)
        return ClipEntry(**{**clip_json(holder, entry), **links(entry.id, holder.fingerprint)})

    return routes

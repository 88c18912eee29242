"""Files over HTTP: their content types, 304 where the client has them, and ranges."""

import re
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

# Python's table knows .ts as a translation and lacks others; what is not here is no media.
TYPES = {
    "3g2": "video/3gpp2", "3gp": "video/3gpp", "apng": "image/apng", "asf": "video/x-ms-asf",
    "avi": "video/x-msvideo", "avif": "image/avif", "flv": "video/x-flv", "gif": "image/gif",
    "jpeg": "image/jpeg", "jpg": "image/jpeg", "m2ts": "video/mp2t", "m2v": "video/mpeg",
    "m4v": "video/mp4", "mkv": "video/x-matroska", "mov": "video/quicktime", "mp4": "video/mp4",
    "mpeg": "video/mpeg", "mpg": "video/mpeg", "mts": "video/mp2t", "ogg": "video/ogg",
    "ogv": "video/ogg", "png": "image/png", "qt": "video/quicktime", "ts": "video/mp2t",
    "webm": "video/webm", "webp": "image/webp", "wmv": "video/x-ms-wmv",
    "css": "text/css", "html": "text/html", "js": "text/javascript",
}  # fmt: skip
RANGES = re.compile(
    rb"bytes=\s*(\d{1,18}-\d{0,18}|-\d{1,18})(\s*,\s*(\d{1,18}-\d{0,18}|-\d{1,18}))*"
)


def content_type(path: Path) -> str:
    """The content type of a file by the end of its name."""
    return TYPES.get(path.suffix[1:].lower(), "application/octet-stream")


def unchanged(request: Request, headers: Mapping[str, str]) -> Response | None:
    """The response 304 if the client has what these headers, with an ETag, are about; else None."""
    wanted = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in wanted.split(",")}
    return (
        Response(status_code=304, headers=dict(headers)) if tags & {headers["ETag"], "*"} else None
    )


class RangedFile(FileResponse):
    """A file whose ranges may be asked for; a Range header of another form counts as none."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, its ranges, or only its headers."""
        headers = [
            (name, value)
            for name, value in scope["headers"]
            if name != b"range" or _is_ranges(value)
        ]
        await super().__call__({**scope, "headers": headers}, receive, send)


def _is_ranges(value: bytes) -> bool:
    bounds = re.findall(rb"(\d+)-(\d+)", value)
    return bool(RANGES.fullmatch(value)) and all(int(a) <= int(b) for a, b in bounds)


def file_response(request: Request, path: Path, headers: Mapping[str, str]) -> Response:
    """A file by ranges, or 304. Without an ETag in ``headers`` it gets one by size and time."""
    response = RangedFile(
        path, headers=headers, media_type=content_type(path), stat_result=path.stat()
    )
    kept = {name: response.headers[name] for name in ("ETag", "Cache-Control")}
    return unchanged(request, kept) or response

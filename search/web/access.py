"""Access control: token, host names, upload size, and security headers."""

import hmac
from collections.abc import Awaitable, Callable
from ipaddress import ip_address

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp

COOKIE = "structalign"
MAX_UPLOAD = 256 * 2**20  # bytes
OPEN_PATHS = {"/", "/favicon.ico", "/page.css", "/page.js", "/api/health", "/api/login"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
Next = Callable[[Request], Awaitable[Response]]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_right(given: str | None, token: str) -> bool:
    """Whether a token is right. Constant-time comparison."""
    return given is not None and hmac.compare_digest(given.encode(), token.encode())


class Access(BaseHTTPMiddleware):
    """Refuses requests without the token; on loopback without a token, foreign host names.

    Otherwise a page on another site could reach a server on loopback by pointing a host name of its
    own at 127.0.0.1 (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        super().__init__(app)
        self.is_local, self.token = is_loopback(host), token

    async def dispatch(self, request: Request, call_next: Next) -> Response:
        """Refuse a request or pass it on, and add the security headers."""
        response = self._refusal(request) or await call_next(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        return response

    def _refusal(self, request: Request) -> Response | None:
        if self.is_local and self.token is None and not is_loopback(_host_of(request)):
            return _error(421, "this server answers only to its own address")
        if request.method == "POST" and (refusal := _size_refusal(request)) is not None:
            return refusal
        if request.method != "GET" and request.headers.get("sec-fetch-site") == "cross-site":
            return _error(403, "requests from other sites are refused")
        if self.token is None or request.url.path in OPEN_PATHS:
            return None
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer if scheme.lower() == "bearer" else request.cookies.get(COOKIE)
        return None if is_right(given, self.token) else _error(401, "a token is needed")


def _host_of(request: Request) -> str:
    """The host name that a request is sent to, without the port."""
    name = request.headers.get("host", "")
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.partition(":")[0]


def _size_refusal(request: Request) -> Response | None:
    """A refusal by the declared size, before a body is read and spooled to disk."""
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        return _error(411, "an upload needs a Content-Length")
    if int(length) > MAX_UPLOAD:
        return _error(413, f"the upload is larger than {MAX_UPLOAD // 2**20} MB")
    return None


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"detail": message}, status)

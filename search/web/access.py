"""Access control: token, host names, upload size, and security headers."""

import hmac
from ipaddress import ip_address

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "structalign"
MAX_UPLOAD = 256 * 2**20  # bytes
MAX_BODY = 4 * 2**10  # bytes of any other body, which anybody may send: a login's
UPLOAD_PATH = "/api/search"
OPEN_PATHS = {"/", "/favicon.ico", "/page.css", "/page.js", "/api/health", "/api/login"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_usable(token: str) -> bool:
    """Whether a token can be sent in a header and in a cookie, and keeps anybody out."""
    return token.isascii() and token.isprintable() and token != "" and " " not in token


def is_right(given: str | None, token: str) -> bool:
    """Whether a token is right. Constant-time comparison."""
    if given is None:
        return False
    # JSON may hold half of a surrogate pair.
    return hmac.compare_digest(given.encode(errors="surrogatepass"), token.encode())


class Access:
    """Refuses requests without the token; on loopback without a token, foreign host names.

    Otherwise a page on another site could reach a server on loopback by pointing a host name of its
    own at 127.0.0.1 (DNS rebinding). Nothing of a refused request's body is read.
    """

    def __init__(self, app: ASGIApp, host: str, token: str | None) -> None:
        self.app, self.is_local, self.token = app, is_loopback(host), token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request or pass it on, and add the security headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        answer = self._refusal(Request(scope)) or self.app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, request: Request) -> Response | None:
        if self.is_local and self.token is None and not is_loopback(_host_of(request)):
            return _error(421, "this server answers only to its own address")
        if (refusal := _size_refusal(request)) is not None:
            return refusal
        is_cross = request.headers.get("sec-fetch-site") == "cross-site"
        if is_cross and request.method not in ("GET", "HEAD"):
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
    """A refusal by the declared size, before a body is read and spooled to disk.

    A body in chunks declares none; its Content-Length, if there is one too, is not what counts.
    """
    length = request.headers.get("content-length")
    if "transfer-encoding" in request.headers:
        if length is not None:
            return _error(400, "Content-Length and Transfer-Encoding exclude each other")
        return _error(411, "a body needs a Content-Length")
    if length is None:
        return _error(411, "a body needs a Content-Length") if request.method == "POST" else None
    most = MAX_UPLOAD if request.url.path == UPLOAD_PATH else MAX_BODY
    if not length.isascii() or not length.isdigit():
        return _error(400, "the Content-Length is not a number")
    if int(length[:20]) > most:
        shown = f"{most // 2**20} MB" if most >= 2**20 else f"{most // 2**10} KB"
        return _error(413, f"the body is larger than {shown}")
    return None


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"detail": message}, status)

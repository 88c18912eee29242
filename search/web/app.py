"""The web application: the page, its token, and the routes of the API."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.routing import Match

from ... import __version__
from ...core.errors import StructAlignError
from .access import COOKIE, OPEN_PATHS, Access, is_right
from .clip_routes import clip_routes
from .concurrency import ConcurrencyLimit
from .files import file_response
from .registry import NotServedError, RunRegistry
from .responses import Health, readable, refusals
from .search_routes import search_routes

PAGE = Path(__file__).parent / "page"
FRESH = {"Cache-Control": "no-cache"}  # asked for again each time, and mostly answered with 304


SECURITY = {
    "token": {"type": "http", "scheme": "bearer"},
    "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
}


class Application(FastAPI):
    """The application, whose OpenAPI document names the served runs and, if any, the token."""

    def __init__(self, registry: RunRegistry, has_token: bool) -> None:
        super().__init__(title="StructAlign", version=__version__, docs_url=None, redoc_url=None)
        self.registry, self.has_token = registry, has_token

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document."""
        document = super().openapi()
        for operation in document["paths"]["/api/search"].values():
            for parameter in operation["parameters"]:
                if parameter["name"] == "run":
                    parameter["schema"]["enum"] = list(self.registry.runs)
        if self.has_token:
            document["components"]["securitySchemes"] = SECURITY
            document["security"] = [{name: []} for name in SECURITY]
            for path in OPEN_PATHS & document["paths"].keys():
                for operation in document["paths"][path].values():
                    operation["security"] = []
        return document


class Token(BaseModel):
    """The body of a login."""

    token: str


def make_app(registry: RunRegistry, host: str = "127.0.0.1", token: str | None = None) -> FastAPI:
    """The application. With a token, everything but the page itself needs it."""
    app = Application(registry, token is not None)
    app.add_middleware(Access, host=host, token=token)
    limit = ConcurrencyLimit()
    app.include_router(search_routes(registry, limit))
    app.include_router(clip_routes(registry, limit))

    @app.exception_handler(StructAlignError)
    async def refuse(request: Request, error: StructAlignError) -> JSONResponse:
        status = 404 if isinstance(error, NotServedError) else 422
        return JSONResponse({"detail": str(error)}, status)

    @app.exception_handler(RequestValidationError)
    async def refuse_value(request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": "; ".join(_reasons(error))}, 422)

    @app.exception_handler(405)
    async def refuse_method(request: Request, error: HTTPException) -> JSONResponse:
        allowed = [
            method
            for method in ("GET", "HEAD", "POST")
            if any(
                route.matches({**request.scope, "method": method})[0] is Match.FULL
                for route in app.routes
            )
        ]
        return JSONResponse({"detail": error.detail}, 405, {"Allow": ", ".join(allowed)})

    @readable(app, "/", include_in_schema=False)
    def page(request: Request) -> Response:
        return file_response(request, PAGE / "index.html", FRESH)

    @readable(app, "/favicon.ico", include_in_schema=False, status_code=204)
    async def icon() -> None:
        """No icon; without this route every browser logs a 404."""

    @readable(app, "/page.{kind}", include_in_schema=False)
    def part_of_page(request: Request, kind: str) -> Response:
        if kind not in ("css", "js"):
            raise HTTPException(404)
        return file_response(request, PAGE / f"page.{kind}", FRESH)

    @readable(app, "/api/health", responses=refusals())
    async def health() -> Health:
        """The server answers; its version."""
        return Health(status="ok", version=__version__)

    @app.post("/api/login", status_code=204, responses=refusals(403, 422))
    async def login(given: Token, response: Response) -> None:
        """Exchange the token for a cookie, which the videos on the page need."""
        if token is None or not is_right(given.token, token):
            raise HTTPException(401, "this is not the token")
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict")

    return app


def _reasons(error: RequestValidationError) -> list[str]:
    """A line for each parameter that is missing or wrong."""
    reasons: dict[str, str] = {}
    for problem in error.errors():
        if problem["type"] == "json_invalid":
            return [f"the body is not JSON ({problem['ctx']['error']})"]
        # A type or None: both alternatives follow the name, the type first.
        where, *name = problem["loc"]
        reasons.setdefault(str(name[0] if name else where), problem["msg"])
    return [f"{name}: {reason}" for name, reason in reasons.items()]

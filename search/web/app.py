"""The web application: the page, its token, and the routes of the API."""

from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from ... import __version__
from ...core.errors import StructAlignError
from .access import COOKIE, Access, is_right
from .clip_routes import clip_routes
from .concurrency import ConcurrencyLimit
from .registry import NotServedError, RunRegistry
from .search_routes import search_routes

PAGE = Path(__file__).parent / "page"


class Token(BaseModel):
    """The body of a login."""

    token: str


def make_app(registry: RunRegistry, host: str = "127.0.0.1", token: str | None = None) -> FastAPI:
    """The application. With a token, everything but the page itself needs it."""
    app = FastAPI(title="StructAlign", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Access, host=host, token=token)
    limit = ConcurrencyLimit()
    app.include_router(search_routes(registry, limit))
    app.include_router(clip_routes(registry, limit))

    @app.exception_handler(StructAlignError)
    async def refuse(request: Request, error: StructAlignError) -> JSONResponse:
        status = 404 if isinstance(error, NotServedError) else 422
        return JSONResponse({"detail": str(error)}, status)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/favicon.ico", include_in_schema=False, status_code=204)
    async def icon() -> None:
        """No icon; without this route every browser logs a 404."""

    @app.get("/page.{kind}", include_in_schema=False)
    async def part_of_page(kind: str) -> FileResponse:
        if kind not in ("css", "js"):
            raise HTTPException(404)
        return FileResponse(PAGE / f"page.{kind}")

    @app.get("/api/health")
    async def health() -> dict[str, str]:
        """The server answers; its version."""
        return {"status": "ok", "version": __version__}

    @app.post("/api/login", status_code=204)
    async def login(given: Token, response: Response) -> None:
        """Exchange the token for a cookie, which the videos on the page need."""
        if token is None or not is_right(given.token, token):
            raise HTTPException(401, "this is not the token")
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict")

    return app

"""The web application: the page, its token, and the routes of the API."""

from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, JSONResponse
from pydantic import BaseModel

from ... import __version__
from ...core.errors import StructAlignError
from .access import COOKIE, Access, is_right
from .clip_routes import clip_routes
from .library import Library, NotServedError
from .search_routes import search_routes
from .turns import Turn

PAGE = Path(__file__).parent / "page"


class Token(BaseModel):
    """What ``--token`` says."""

    token: str


def make_app(library: Library, host: str = "127.0.0.1", token: str | None = None) -> FastAPI:
    """The application. With a token, everything but the page itself asks for it."""
    app = FastAPI(title="StructAlign", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Access, host=host, token=token)
    turn = Turn()
    app.include_router(search_routes(library, turn))
    app.include_router(clip_routes(library, turn))

    @app.exception_handler(StructAlignError)
    async def refuse(request: Request, error: StructAlignError) -> JSONResponse:
        gone = isinstance(error, NotServedError)
        return JSONResponse({"detail": str(error)}, 404 if gone else 422)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.get("/favicon.ico", include_in_schema=False, status_code=204)
    async def icon() -> None:
        """None; browsers ask for one."""

    @app.get("/page.{kind}", include_in_schema=False)
    async def part_of_page(kind: str) -> FileResponse:
        if kind not in ("css", "js"):
            raise HTTPException(404)
        return FileResponse(PAGE / f"page.{kind}")

    @app.get("/api/health")
    async def health() -> dict[str, str]:
        """Whether the server answers."""
        return {"status": "ok", "version": __version__}

    @app.post("/api/login", status_code=204)
    async def login(given: Token, response: Response) -> None:
        """Trade the token for a cookie, which videos on the page need."""
        if token is None or not is_right(given.token, token):
            raise HTTPException(401, "this is not the token")
        response.set_cookie(COOKIE, token, httponly=True, samesite="strict")

    return app

"""What is refused before a byte of a body is read."""

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send
from structalign.search.web.access import MAX_BODY, MAX_UPLOAD, Access, is_right, is_usable


def status_of(path: str, method: str = "POST", token: str | None = "hush", **headers: str) -> int:
    """The status of a request with these headers (_ for -), whose body must stay unread."""
    statuses: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def receive() -> Message:
        raise AssertionError("the body is read")

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    named = {"host": "localhost", **headers}
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]
    scope: Scope = {
        "type": "http", "method": method, "path": path, "query_string": b"", "headers": raw,
    }  # fmt: skip
    anyio.run(Access(app, "127.0.0.1", token), scope, receive, send)
    (status,) = statuses
    return status


def test_a_login_is_small() -> None:
    """It needs no token, so anybody may send one."""
    assert status_of("/api/login", content_length=str(MAX_BODY)) == 200
    assert status_of("/api/login", content_length=str(MAX_BODY + 1)) == 413
    assert status_of("/api/login", content_length="9" * 5000) == 413
    assert status_of("/api/login") == 411
    assert status_of("/api/login", transfer_encoding="chunked") == 411


@pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
def test_a_length_beside_chunks_is_refused(method: str) -> None:
    """The chunks are what is read, so the length would pass any limit."""
    for path in ("/api/search", "/api/login"):
        both = {"content_length": "10", "transfer_encoding": "chunked"}
        assert status_of(path, method, None, **both) == 400


def test_an_upload_may_be_large_and_nothing_else() -> None:
    assert status_of("/api/search", token=None, content_length=str(MAX_UPLOAD)) == 200
    assert status_of("/api/search", token=None, content_length=str(MAX_UPLOAD + 1)) == 413
    assert status_of("/api/runs", "PUT", None, content_length=str(MAX_UPLOAD)) == 413
    assert status_of("/api/search", content_length="5") == 401
    for length in ("-1", "1e3", "²", "many"):
        assert status_of("/api/search", token=None, content_length=length) == 400


def test_an_unusable_token_is_known() -> None:
    assert is_usable("hush") and is_usable("A-b_c=;")
    assert not any(map(is_usable, ("", " ", "a b", "müde", "a\nb")))


def test_a_wrong_token_is_any_text() -> None:
    """Half of a surrogate pair, which JSON may hold, was an internal error."""
    assert is_right("hush", "hush")
    assert not any(is_right(given, "hush") for given in (None, "", "hus", "müde", "\ud800"))

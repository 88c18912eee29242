"""Half a request is not held for ever; a slow answer and an ordinary client are left alone."""

import asyncio

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from structalign.search.web import protocol
from structalign.search.web.protocol import PatientProtocol
from uvicorn.server import ServerState

HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body, compute for longer than a client may take, and answer."""
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.disconnect":
        return
    await asyncio.sleep(0.6)
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


async def answers(*requests: bytes) -> list[bytes]:
    """What a server sends on one connection after each of these; empty once it has closed it."""
    config, state = uvicorn.Config(app, log_level="critical"), ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: PatientProtocol(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    received = []
    for request in requests:
        writer.write(request)
        try:
            received.append(await asyncio.wait_for(reader.read(1000), 10))
        except ConnectionResetError:
            received.append(b"")
    writer.close()
    server.close()
    return received


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "WAIT", 0.3)
    monkeypatch.setattr(protocol, "INTERVAL", 0.05)


@pytest.mark.parametrize("part", [b"", b"GET / HT", HEAD, HEAD + b"\r\n", HEAD + b"\r\n1"])
def test_half_a_request_is_given_up(part: bytes) -> None:
    assert asyncio.run(answers(part)) == [b""]


def test_whole_requests_are_answered_however_long_that_takes() -> None:
    received = asyncio.run(answers(*[HEAD + b"\r\n12345"] * 2))
    assert [answer[-2:] for answer in received] == [b"ok", b"ok"]


def test_half_a_request_after_a_whole_one_is_given_up() -> None:
    first, second = asyncio.run(answers(HEAD + b"\r\n12345", HEAD))
    assert first.endswith(b"ok") and second == b""

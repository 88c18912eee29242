"""HTTP/1.1 whose clients must get on with their requests: half a request is not held for ever"""

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

WAIT = 20.0  # seconds for the headers of a request, and before a body must have begun
SLOWEST = 10_000  # bytes a second of a body, on average
INTERVAL = 1.0  # seconds between two looks at a connection


class PatientProtocol(H11Protocol):
    """Closes a connection whose headers take longer than ``WAIT`` seconds, or that sends no body.

    uvicorn's own time-out is for connections without any byte of a next request.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Watch the connection from its first moment."""
        super().connection_made(transport)
        self._since, self._received = self.loop.time(), 0
        self._state: tuple[object, bool] = (None, True)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Count what arrives since the connection began to wait."""
        self._received += len(data)
        super().data_received(data)

    def _watch(self) -> None:
        """Close the connection once the client has kept the server waiting for too long."""
        if self.transport.is_closing():
            return
        cycle, now = self.cycle, self.loop.time()
        is_between = cycle is None or cycle.response_complete
        if (cycle, is_between) != self._state:
            self._state, self._since, self._received = (cycle, is_between), now, 0
        body_comes = not is_between and cycle.more_body
        limit = WAIT + (self._received / SLOWEST if body_comes else 0)
        if (is_between or body_comes) and now - self._since > limit:
            self.transport.abort()
        else:
            self.loop.call_later(INTERVAL, self._watch)

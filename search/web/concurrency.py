"""A limit on how many requests compute at once"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import HTTPException
from starlette.types import Receive

MAX_COMPUTING, MAX_WAITING = 2, 256  # requests
GONE = 499  # nobody reads this status; nginx logs it for a client that has gone


class ConcurrencyLimit:
    """Lets ``MAX_COMPUTING`` requests compute and ``MAX_WAITING`` wait; further ones get 503."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(MAX_COMPUTING)

    @asynccontextmanager
    async def __call__(self, receive: Receive) -> AsyncIterator[None]:
        """Wait until the request may compute; one whose client has gone leaves and never does.

        Its body has been read or is not needed. Raises HTTPException: 503 when too many wait; 499
        when the client has gone.
        """
        if self.limiter.statistics().tasks_waiting >= MAX_WAITING:
            raise HTTPException(503, "too many requests at once; try again", {"Retry-After": "1"})
        is_acquired = False
        async with anyio.create_task_group() as group:
            group.start_soon(_leave_when_gone, receive, group.cancel_scope)
            await self.limiter.acquire()
            is_acquired = True
            group.cancel_scope.cancel()
        if not is_acquired:
            raise HTTPException(GONE, "the client has gone")
        try:
            yield
        finally:
            self.limiter.release()


async def _leave_when_gone(receive: Receive, waiting: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiting.cancel()

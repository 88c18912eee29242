"""A limit on what is computed at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import HTTPException

AT_ONCE, WAITING = 2, 256  # computations; requests that wait for one


class Turn:
    """Lets so many requests compute at once and some more wait; others are told to come again."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(AT_ONCE)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises HTTPException 503 when too many wait already."""
        if self.limiter.statistics().tasks_waiting >= WAITING:
            raise HTTPException(503, "too many requests at once", {"Retry-After": "1"})
        async with self.limiter:
            yield

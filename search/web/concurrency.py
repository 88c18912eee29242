"""A limit on how many requests compute at once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import HTTPException

MAX_COMPUTING, MAX_WAITING = 2, 256  # requests


class ConcurrencyLimit:
    """Lets ``MAX_COMPUTING`` requests compute and ``MAX_WAITING`` wait; further ones get 503."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(MAX_COMPUTING)

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """Wait until the request may compute. Raises HTTPException 503 when too many wait."""
        if self.limiter.statistics().tasks_waiting >= MAX_WAITING:
            raise HTTPException(503, "too many requests at once; try again", {"Retry-After": "1"})
        async with self.limiter:
            yield

"""A few requests compute at once, a limited number waits, and further ones get 503."""

import anyio
import pytest
from fastapi import HTTPException
from structalign.search.web import concurrency


def test_a_request_is_refused_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "MAX_WAITING", 3)
    computing = most = 0
    refused: list[int] = []

    async def send(limit: concurrency.ConcurrencyLimit, end: anyio.Event) -> None:
        nonlocal computing, most
        try:
            async with limit():
                computing += 1
                most = max(most, computing)
                await end.wait()
                computing -= 1
        except HTTPException as error:
            refused.append(error.status_code)

    async def send_many() -> None:
        limit, end = concurrency.ConcurrencyLimit(), anyio.Event()
        async with anyio.create_task_group() as group:
            for _ in range(concurrency.MAX_COMPUTING + concurrency.MAX_WAITING + 2):
                group.start_soon(send, limit, end)
                await anyio.wait_all_tasks_blocked()
            end.set()

    anyio.run(send_many)
    assert most == concurrency.MAX_COMPUTING and computing == 0 and refused == [503, 503]

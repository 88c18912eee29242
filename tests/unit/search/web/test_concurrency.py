"""A few requests compute at once, a limited number waits, further ones get 503, gone ones leave."""

import anyio
import pytest
from fastapi import HTTPException
from starlette.types import Message
from structalign.search.web import concurrency


async def stay() -> Message:
    """The ``receive`` of a client that stays and waits."""
    await anyio.sleep_forever()
    raise AssertionError


def test_a_request_is_refused_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "MAX_WAITING", 3)
    computing = most = 0
    refused: list[int] = []

    async def send(limit: concurrency.ConcurrencyLimit, end: anyio.Event) -> None:
        nonlocal computing, most
        try:
            async with limit(stay):
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


def test_a_request_whose_client_has_gone_is_never_computed() -> None:
    computed: list[int] = []
    left: list[int] = []

    async def send(limit: concurrency.ConcurrencyLimit, number: int, gone: anyio.Event) -> None:
        messages: list[Message] = [{"type": "http.request"}, {"type": "http.disconnect"}]

        async def receive() -> Message:
            if len(messages) == 1:
                await gone.wait()
            return messages.pop(0)

        try:
            async with limit(receive):
                computed.append(number)
        except HTTPException:
            left.append(number)

    async def abandon() -> None:
        limit, ends = concurrency.ConcurrencyLimit(), anyio.Event()

        async def occupy() -> None:
            async with limit(stay):
                await ends.wait()

        async with anyio.create_task_group() as group:
            for _ in range(concurrency.MAX_COMPUTING):
                group.start_soon(occupy)
            await anyio.wait_all_tasks_blocked()
            events = [anyio.Event() for _ in range(5)]
            for number, gone in enumerate(events):
                group.start_soon(send, limit, number, gone)
            await anyio.wait_all_tasks_blocked()
            for gone in events[:4]:
                gone.set()
            await anyio.wait_all_tasks_blocked()
            assert limit.limiter.statistics().tasks_waiting == 1
            ends.set()

    anyio.run(abandon)
    assert sorted(left) == [0, 1, 2, 3] and computed == [4]

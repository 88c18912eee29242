"""Only so many requests compute at once, only so many wait, and the next is told to come again."""

import anyio
import pytest
from fastapi import HTTPException
from structalign.search.web import turns


def test_who_comes_when_too_many_wait_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "WAITING", 3)
    computing = most = 0
    refused: list[int] = []

    async def ask(turn: turns.Turn, end: anyio.Event) -> None:
        nonlocal computing, most
        try:
            async with turn():
                computing += 1
                most = max(most, computing)
                await end.wait()
                computing -= 1
        except HTTPException as error:
            refused.append(error.status_code)

    async def many() -> None:
        turn, end = turns.Turn(), anyio.Event()
        async with anyio.create_task_group() as group:
            for _ in range(turns.AT_ONCE + turns.WAITING + 2):
                group.start_soon(ask, turn, end)
                await anyio.wait_all_tasks_blocked()
            end.set()

    anyio.run(many)
    assert most == turns.AT_ONCE and computing == 0 and refused == [503, 503]

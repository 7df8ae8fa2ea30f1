"""Streams show what has changed and end with the server; one look serves all who watch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from chatbot.console import streams
from chatbot.console.shared import Shared
from chatbot.console.streams import Streams
from chatbot.errors import StoreUnavailable


async def always() -> bool:
    return True


def events(
    count: int,
    part: Callable[[], Awaitable[str]],
    stopping: Callable[[], bool] = lambda: False,
    holds: Callable[[], Awaitable[bool]] = always,
) -> list[str]:
    """Return the first events of a stream."""
    app = SimpleNamespace(state=SimpleNamespace(stopping=stopping))
    request: Any = SimpleNamespace(app=app, state=SimpleNamespace(holds=holds))

    async def take() -> list[str]:
        answer: Any = Streams().answer(request, part, 0.001)
        found: list[str] = []
        async for event in answer.body_iterator:
            found.append(event)
            if len(found) == count:
                break
        await answer.body_iterator.aclose()
        return found

    return asyncio.run(asyncio.wait_for(take(), 10))


def test_a_stream_sends_what_has_changed_line_by_line() -> None:
    parts = iter(["a\nb", "a\nb", "a\nb", "c"])

    async def part() -> str:
        return next(parts)

    assert events(2, part) == ["data: a\ndata: b\n\n", "data: c\n\n"]


def test_a_stream_ends_when_the_server_stops() -> None:
    looks = 0

    async def part() -> str:
        nonlocal looks
        looks += 1
        return f"{looks}"

    assert events(100, part, stopping=lambda: looks >= 3) == ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]


def test_a_stream_ends_with_the_session_that_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "CHECK", 0)
    looks = 0

    async def part() -> str:
        nonlocal looks
        looks += 1
        return f"{looks}"

    async def holds() -> bool:
        return looks < 2

    assert events(100, part, holds=holds) == ["data: 1\n\n", "data: 2\n\n"]


def test_there_are_so_many_streams_and_no_more() -> None:
    request: Any = SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace()))
    open_streams = Streams()

    async def part() -> str:
        return "x"

    async def take() -> list[int]:
        answers: list[Any] = [open_streams.answer(request, part, 0.001) for _ in range(streams.MOST)]
        for answer in answers:
            await anext(answer.body_iterator)
        codes = [open_streams.answer(request, part, 0.001).status_code]
        await answers[0].body_iterator.aclose()
        codes.append(open_streams.answer(request, part, 0.001).status_code)
        for answer in answers[1:]:
            await answer.body_iterator.aclose()
        return codes

    assert asyncio.run(take()) == [503, 200]


def test_all_who_watch_share_one_look() -> None:
    looks: list[int] = []

    async def watch() -> list[int | None]:
        shared = Shared(lambda: looks.append(1) or len(looks), pause=60, patience=10)
        return [*await asyncio.gather(*(shared.get() for _ in range(50))), await shared.get()]

    assert asyncio.run(watch()) == [1] * 51


def test_a_look_is_repeated_after_the_pause() -> None:
    looks: list[int] = []

    async def watch() -> list[int | None]:
        shared = Shared(lambda: looks.append(1) or len(looks), pause=0, patience=10)
        return [await shared.get() for _ in range(3)]

    assert asyncio.run(watch()) == [1, 2, 3]


def test_what_was_known_stays_when_a_look_fails_and_the_error_is_told_without_addresses() -> None:
    answers = iter([1])

    def look() -> int:
        for answer in answers:
            return answer
        raise StoreUnavailable("redis://secret")

    async def watch() -> tuple[list[int | None], str]:
        shared = Shared(look, pause=0, patience=10)
        return [await shared.get() for _ in range(2)], shared.error

    found, error = asyncio.run(watch())
    assert found == [1, 1]
    assert error == "it does not answer"


def test_a_slow_look_keeps_nobody_waiting_longer_than_their_patience() -> None:
    free = threading.Event()

    async def watch() -> int | None:
        shared = Shared(lambda: int(free.wait(30)), pause=0, patience=0.01)
        found = await shared.get()
        free.set()
        return found

    assert asyncio.run(watch()) is None

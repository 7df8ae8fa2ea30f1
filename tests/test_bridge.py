"""A call that waits lets the event loop go on, and what comes of the wait comes to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from chatbot.bridge import apart, begin, on_loop, run, wait


def test_a_call_gets_its_arguments_and_its_answer_is_returned() -> None:
    assert asyncio.run(run(divmod, 7, 2)) == (3, 1)
    assert asyncio.run(run(dict, a=1)) == {"a": 1}


def test_a_call_that_is_begun_has_gone_as_far_as_its_first_wait() -> None:
    told: list[str] = []

    def call() -> str:
        told.append("began")
        return wait(asyncio.sleep(0, "ended"))

    async def whole() -> str:
        rest = begin(call)
        told.append("begun")
        return await rest

    assert asyncio.run(whole()) == "ended"
    assert told == ["began", "begun"]


def test_what_comes_of_a_wait_is_returned() -> None:
    def call() -> list[int]:
        return [wait(asyncio.sleep(0, number)) for number in range(3)]

    assert asyncio.run(run(call)) == [0, 1, 2]


def test_what_a_wait_raises_is_raised_where_it_waits() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    def call() -> str:
        with pytest.raises(KeyError):
            wait(fail())
        return wait(asyncio.sleep(0, "went on"))

    assert asyncio.run(run(call)) == "went on"


def test_what_a_call_raises_is_raised_by_run() -> None:
    def call() -> None:
        wait(asyncio.sleep(0))
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(run(call))


def test_calls_wait_side_by_side_and_the_loop_goes_on() -> None:
    async def whole() -> list[str]:
        gates = [asyncio.Event() for _ in range(3)]
        told: list[str] = []

        def call(number: int) -> None:
            told.append(f"{number} begins")
            wait(gates[number].wait())
            told.append(f"{number} ends")

        tasks = [asyncio.create_task(run(call, number)) for number in range(3)]
        await asyncio.sleep(0)
        for number in (2, 0, 1):
            gates[number].set()
            await tasks[number]
        return told

    assert asyncio.run(whole()) == ["0 begins", "1 begins", "2 begins", "2 ends", "0 ends", "1 ends"]


def test_who_cancels_a_call_cancels_what_it_waits_for() -> None:
    async def whole() -> list[str]:
        told: list[str] = []

        def call() -> None:
            try:
                wait(asyncio.Event().wait())
            except asyncio.CancelledError:
                told.append("cancelled")
                raise

        task = asyncio.create_task(run(call))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return told

    assert asyncio.run(whole()) == ["cancelled"]


def test_only_a_call_is_on_the_loop() -> None:
    async def whole() -> tuple[bool, bool]:
        return on_loop(), await run(on_loop)

    assert asyncio.run(whole()) == (False, True)
    assert not on_loop()


def test_what_may_block_is_apart_from_the_loop_and_only_there() -> None:
    me = threading.current_thread()
    assert apart(threading.current_thread) is me
    assert asyncio.run(run(apart, threading.current_thread)) is not me


def test_what_runs_apart_holds_nobody_up() -> None:
    """The loop opens the gate that the call waits for in a thread."""
    gate = threading.Event()

    async def whole() -> bool:
        call = asyncio.create_task(run(apart, gate.wait, 30))
        await asyncio.sleep(0)
        gate.set()
        return await call

    assert asyncio.run(whole())


def test_what_runs_apart_may_block_itself() -> None:
    """In its thread nothing is on a loop, so what it calls does not wait for one."""
    assert asyncio.run(run(apart, on_loop)) is False


def test_a_call_may_run_calls_of_its_own() -> None:
    def inner() -> int:
        return wait(asyncio.sleep(0, 1))

    def outer() -> int:
        nested: Callable[[], Awaitable[int]] = lambda: run(inner)  # noqa: E731
        return wait(nested()) + wait(nested())

    assert asyncio.run(run(outer)) == 2


def test_a_call_sees_the_context_of_who_runs_it_and_changes_it() -> None:
    mine: ContextVar[str] = ContextVar("mine", default="nobody's")

    def call() -> tuple[str, str]:
        found = mine.get(), apart(mine.get)
        mine.set("the call's")
        return found

    async def whole() -> tuple[tuple[str, str], str]:
        mine.set("the task's")
        return await run(call), mine.get()

    assert asyncio.run(whole()) == (("the task's", "the task's"), "the call's")

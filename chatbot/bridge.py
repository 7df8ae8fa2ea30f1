"""Calls that wait for a server, on an event loop that does not: such a call runs in a greenlet of its own, and while it
waits the loop goes on. So web and worker share one store, one broker and one set of guards, and the switches to a
thread and back are spared.

As in SQLAlchemy's asyncio extension (greenlet_spawn and await_only). Whatever the loop runs may run between the two
ends of a wait: nobody may hold a lock over one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast

from greenlet import getcurrent, greenlet

P = ParamSpec("P")
T = TypeVar("T")


class _Call(greenlet):
    """A call on an event loop, in the context of who runs it."""

    def __init__(self, fn: Callable[..., object]) -> None:
        super().__init__(fn, getcurrent())
        self.gr_context = getcurrent().gr_context


async def run(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that waits with `wait`, or not at all. Whoever cancels this, cancels what it waits for."""
    return await begin(fn, *args, **kwargs)


def begin(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, T]:
    """Do the same, but call it now, up to its first wait: return the rest, or raise what it raises before."""
    call = _Call(fn)
    return _end(call, call.switch(*args, **kwargs))


async def _end(call: _Call, awaited: Any) -> Any:
    while not call.dead:
        try:
            answer = await awaited
        except BaseException as exc:
            awaited = call.throw(exc)
        else:
            awaited = call.switch(answer)
    return awaited


def on_loop() -> bool:
    """Say whether this is inside of a `run`: then nothing may block."""
    return isinstance(getcurrent(), _Call)


def wait(awaited: Awaitable[T]) -> T:
    """Return what comes of it, or raise that. Only inside of a `run`."""
    loop = getcurrent().parent
    assert loop is not None
    return cast(T, loop.switch(awaited))


def apart(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call what may block: inside of a `run` in a thread, else right here."""
    return wait(asyncio.to_thread(fn, *args, **kwargs)) if on_loop() else fn(*args, **kwargs)

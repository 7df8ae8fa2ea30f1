"""One event loop in a thread of its own, for async functions that synchronous workers call."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import CancelledError, Future
from typing import TypeVar

from chatbot.errors import Transient

T = TypeVar("T")
#: A worker that must stop is told by an exception that is raised in its thread, but only once it runs bytecode again.
_LOOK_UP_EVERY = 0.5


class EventLoop:
    """Starts with the first call (so after a fork) and is shared by all the threads of the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Awaitable[T], timeout: float) -> T:
        """Await `work` on the loop and return its result.

        Raises what it raises; Transient after `timeout` s or when the loop is closed. The work is cancelled whenever
        its caller stops waiting.
        """
        future = self._start(work)
        try:
            return _result(future, time.monotonic() + timeout)
        except CancelledError as exc:
            raise Transient("the responder was cancelled") from exc
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancel what runs and end the thread. May be called twice."""
        with self._lock:
            self._closed = True
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop and thread:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)  # a function that blocks the loop must not keep the process; the thread is a daemon

    def _start(self, work: Awaitable[T]) -> Future[T]:
        coroutine = work if inspect.iscoroutine(work) else _await(work)
        # Under the lock, so that close() finds every task that was promised a run.
        with self._lock:
            if self._closed:
                coroutine.close()
                raise Transient("the responder is closed")
            return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_run, args=(self._loop,), name="responder-loop", daemon=True)
            self._thread.start()
        return self._loop


async def _await(work: Awaitable[T]) -> T:
    return await work


def _result(future: Future[T], deadline: float) -> T:
    while (left := deadline - time.monotonic()) > 0:
        try:
            return future.result(min(left, _LOOK_UP_EVERY))
        except TimeoutError:
            if future.done():  # then the function itself timed out, or it ended just now
                return future.result()
    raise Transient("the responder did not answer in time")


def _run(loop: asyncio.AbstractEventLoop) -> None:
    # Not asyncio.run: its cleanup would also wait for tasks that refuse to be cancelled.
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

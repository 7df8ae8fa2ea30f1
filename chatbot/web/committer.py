"""Group commit: one thread admits all the messages that wait, of however many requests, with one call.

While a batch is on its way to the ledger the next one gathers, so the more requests there are, the fewer trips each
of them costs; a lone request leaves at once. The event loop is woken once per batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import NamedTuple

from chatbot.errors import StoreUnavailable
from chatbot.model import InboundMessage

logger = logging.getLogger(__name__)

#: Takes messages of many requests and returns one outcome for each: absorbed, enqueued, duplicate or overflow; for
#: edits and deletions also amended, withdrawn or late.
Admit = Callable[[Sequence[InboundMessage]], Sequence[str]]
Result = Sequence[str] | BaseException


class _Part(NamedTuple):
    """Messages of one request that go in one batch."""

    messages: Sequence[InboundMessage]
    result: asyncio.Future[Result]


class Committer:
    """Admits the messages of all requests of one process. Its methods belong to the event loop that started it."""

    def __init__(self, admit: Admit, *, max_batch: int = 500, max_backlog: int = 5_000) -> None:
        """`max_batch` bounds the messages of one call, `max_backlog` those that wait or are on their way."""
        self._admit = admit
        self._max_batch = max_batch
        self._max_backlog = max_backlog
        self._backlog = 0
        self._queue: SimpleQueue[_Part | None] = SimpleQueue()
        self._held_back: _Part | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="committer", daemon=True)
        self._thread.start()

    async def stop(self, timeout: float = 10.0) -> None:
        """Take nothing new, admit what waits and end the thread; give up after `timeout` s."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
            await asyncio.to_thread(thread.join, timeout)

    async def submit(self, messages: Sequence[InboundMessage]) -> list[str]:
        """Return the outcome of each message, in order. Raises StoreUnavailable when they may not have been admitted,
        also for want of room; an error of `admit` is the cause of a RuntimeError."""
        self._reserve(len(messages))
        size = self._max_batch
        if len(messages) <= size:  # nearly always; a gather would cost as much as all the rest of this
            return list(_opened(await self._enqueue(messages)))
        parts = [self._enqueue(messages[start : start + size]) for start in range(0, len(messages), size)]
        return [outcome for result in await asyncio.gather(*parts) for outcome in _opened(result)]

    def _reserve(self, count: int) -> None:
        if self._thread is None:
            raise StoreUnavailable("nothing is admitted before the start and after the stop")
        # A request that alone is larger than the bound is taken when nothing else waits: it would never fit.
        if self._backlog and self._backlog + count > self._max_backlog:
            raise StoreUnavailable(f"{self._backlog} messages wait for the ledger already")
        self._backlog += count

    def _enqueue(self, messages: Sequence[InboundMessage]) -> asyncio.Future[Result]:
        assert self._loop is not None
        part = _Part(messages, self._loop.create_future())
        self._queue.put(part)
        return part.result

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while batch := self._gather():
            results = self._commit(batch)
            with suppress(RuntimeError):  # the loop is closed: stop() had given up, and so has everybody who waited
                loop.call_soon_threadsafe(self._resolve, batch, results)

    def _gather(self) -> list[_Part]:
        """Wait for a part, then take whatever else waits and fits. Returns nothing when all is done."""
        first = self._held_back or self._queue.get()
        self._held_back = None
        if first is None:
            return []
        batch, size = [first], len(first.messages)
        while (part := self._next()) is not None:
            size += len(part.messages)
            if size > self._max_batch:
                self._held_back = part
                break
            batch.append(part)
        return batch

    def _next(self) -> _Part | None:
        try:
            part = self._queue.get_nowait()
        except Empty:
            return None
        if part is None:
            self._queue.put(None)  # the stop: nothing comes after it, so _gather finds it again
        return part

    def _commit(self, batch: list[_Part]) -> list[Result]:
        try:
            outcomes = self._admit([message for part in batch for message in part.messages])
            return _shares(batch, outcomes)
        except StoreUnavailable as exc:
            logger.warning("a batch of %d requests was not admitted: %s", len(batch), exc)
            return [exc] * len(batch)
        except BaseException as exc:  # whatever it is, this thread must live on: requests wait for it
            if len(batch) == 1:
                logger.exception("a request was not admitted")
                return [exc]
        # One of them is the culprit. Its neighbours must not suffer; who was admitted already is now a duplicate.
        return [result for part in batch for result in self._commit([part])]

    def _resolve(self, batch: list[_Part], results: list[Result]) -> None:
        for part, result in zip(batch, results, strict=True):
            self._backlog -= len(part.messages)
            if not part.result.done():  # its request may have been cancelled
                part.result.set_result(result)


def _shares(batch: list[_Part], outcomes: Sequence[str]) -> list[Result]:
    asked = sum(len(part.messages) for part in batch)
    if len(outcomes) != asked:
        raise RuntimeError(f"admit returned {len(outcomes)} outcomes for {asked} messages")
    shares: list[Result] = []
    start = 0
    for part in batch:
        shares.append(outcomes[start : start + len(part.messages)])
        start += len(part.messages)
    return shares


def _opened(result: Result) -> Sequence[str]:
    # Each request raises an error of its own: one that many tasks raise would gather all their tracebacks.
    if isinstance(result, StoreUnavailable):
        raise StoreUnavailable(str(result)) from result
    if isinstance(result, BaseException):
        raise RuntimeError("the messages were not admitted") from result
    return result

"""Group commit: one thread admits all the messages that wait, of however many requests, with one call.

While a batch is on its way to the ledger the next one gathers, so the more requests there are, the fewer trips each
of them costs; a lone request leaves at once. The event loop is woken once per batch.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
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
        #: Of the event loop: what has come in this iteration.
        self._arrived: list[_Part] = []
        self._queue: SimpleQueue[list[_Part] | None] = SimpleQueue()
        #: Of the thread: what it has taken from the queue, and whether nothing more will come.
        self._waiting: deque[_Part] = deque()
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        """Start the thread, also after a stop."""
        self._queue, self._ended = SimpleQueue(), False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="committer", daemon=True)
        self._thread.start()

    async def stop(self, timeout: float = 10.0) -> None:
        """Take nothing new, admit what waits and end the thread; give up after `timeout` s."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._hand_over()
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
        # Waking the thread costs as much as a message does, so it is woken once for all that this iteration brings.
        if not self._arrived:
            self._loop.call_soon(self._hand_over)
        self._arrived.append(part)
        return part.result

    def _hand_over(self) -> None:
        arrived, self._arrived = self._arrived, []
        if arrived:
            self._queue.put(arrived)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while batch := self._gather():
            results = self._commit(batch)
            with suppress(RuntimeError):  # the loop is closed: stop() had given up, and so has everybody who waited
                loop.call_soon_threadsafe(self._resolve, batch, results)

    def _gather(self) -> list[_Part]:
        """Wait for a part, then take whatever else waits and fits. Returns nothing when all is done."""
        self._take()
        batch, room = list[_Part](), self._max_batch
        while self._waiting and (room := room - len(self._waiting[0].messages)) >= 0:
            batch.append(self._waiting.popleft())
        return batch

    def _take(self) -> None:
        with suppress(Empty):
            while not self._ended:
                arrived = self._queue.get(block=not self._waiting)
                self._waiting += arrived or ()
                self._ended = arrived is None

    def _commit(self, batch: list[_Part]) -> list[Result]:
        try:
            outcomes = self._admit([message for part in batch for message in part.messages])
            return _shares(batch, outcomes)
        except StoreUnavailable as exc:
            logger.warning("a batch of %d requests was not admitted: %s", len(batch), exc, extra=_whose(batch))
            return [exc] * len(batch)
        except BaseException as exc:  # whatever it is, this thread must live on: requests wait for it
            if len(batch) == 1:
                logger.exception("a request was not admitted", extra=_whose(batch))
                return [exc]
        # One of them is the culprit. Its neighbours must not suffer; who was admitted already is now a duplicate.
        return [result for part in batch for result in self._commit([part])]

    def _resolve(self, batch: list[_Part], results: list[Result]) -> None:
        for part, result in zip(batch, results, strict=True):
            self._backlog -= len(part.messages)
            if not part.result.done():  # its request may have been cancelled
                part.result.set_result(result)


def _whose(batch: list[_Part]) -> dict[str, list[str]]:
    """Return the ids of the requests, for a line of the log that is about all of them."""
    return {"joined": [part.messages[0].correlation_id for part in batch if part.messages]}


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

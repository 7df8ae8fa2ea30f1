"""Group commit: all the messages that wait, of however many requests, are admitted with one call.

While a batch is on its way to the ledger the next one gathers, so the more requests there are, the fewer trips each
of them costs; a lone request leaves at once. Batches follow each other, so messages are admitted as they came.

Under load the store and the loop are to work side by side. So a batch that is large enough does not wait until the loop
has read all there is, and is no more than half of what is not answered: all in one would be answered, asked again and
admitted together for ever.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import NamedTuple

from chatbot.errors import StoreUnavailable
from chatbot.model import InboundMessage

logger = logging.getLogger(__name__)

#: Takes messages of many requests and returns one outcome for each: absorbed, enqueued, duplicate or overflow; for
#: edits and deletions also amended, withdrawn or late. They may be on their way before this is awaited.
Admit = Callable[[Sequence[InboundMessage]], Awaitable[Sequence[str]]]
Result = Sequence[str] | BaseException
_Begun = Awaitable[Sequence[str]] | Exception

#: A batch of so many messages is large enough: half of 64 connections, see `chatbot bench accept`.
ENOUGH = 32


class _Part(NamedTuple):
    """Messages of one request that go in one batch."""

    messages: Sequence[InboundMessage]
    result: asyncio.Future[Result]


class Committer:
    """Admits the messages of all requests of one process, on the event loop that started it."""

    def __init__(self, admit: Admit, *, max_batch: int = 100, max_backlog: int = 5_000) -> None:
        """`max_batch` bounds the messages of one call, `max_backlog` those that wait or are on their way."""
        self._admit = admit
        self._max_batch = max_batch
        self._max_backlog = max_backlog
        self._backlog = 0
        self._waiting: deque[_Part] = deque()
        #: Messages that wait, and whether they leave at the end of the iteration.
        self._count, self._leaving = 0, False
        self._started = False
        #: Admits until nothing waits.
        self._working: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Take requests, also after a stop."""
        self._started, self._leaving, self._working = True, False, None

    async def stop(self, timeout: float = 10.0) -> None:
        """Take nothing new, and admit what waits; give up after `timeout` s."""
        self._started = False
        self._leave()
        if self._working is not None:
            await asyncio.wait([self._working], timeout=timeout)
            self._working.cancel()

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
        if not self._started:
            raise StoreUnavailable("nothing is admitted before the start and after the stop")
        # A request that alone is larger than the bound is taken when nothing else waits: it would never fit.
        if self._backlog and self._backlog + count > self._max_backlog:
            raise StoreUnavailable(f"{self._backlog} messages wait for the ledger already")
        self._backlog += count

    def _enqueue(self, messages: Sequence[InboundMessage]) -> asyncio.Future[Result]:
        loop = asyncio.get_running_loop()
        part = _Part(messages, loop.create_future())
        self._waiting.append(part)
        self._count += len(messages)
        if not self._is_busy():
            if self._count >= ENOUGH:
                self._leave()
            elif not self._leaving:
                self._leaving = True
                loop.call_soon(self._leave)
        return part.result

    def _is_busy(self) -> bool:
        return self._working is not None and not self._working.done()

    def _leave(self) -> None:
        self._leaving = False
        if self._waiting and not self._is_busy():
            batch = self._gather()
            # What it logs is no single request's.
            work = self._work(batch, self._begin(batch))
            self._working = asyncio.get_running_loop().create_task(work, name="committer", context=Context())

    async def _work(self, batch: list[_Part], begun: _Begun) -> None:
        try:
            while batch:
                self._resolve(batch, await self._commit(batch, begun))
                batch = []
                if self._waiting:
                    await asyncio.sleep(0)  # who has an answer goes first
                    batch = self._gather()
                    begun = self._begin(batch)
        finally:
            # The stop has given up, or the loop ends: who waits still must hear of it.
            left = [*batch, *self._waiting]
            self._waiting.clear()
            self._count = 0
            self._resolve(left, [StoreUnavailable("the process ends")] * len(left))

    def _gather(self) -> list[_Part]:
        """Return what waits, but no more than half of all that is not answered: the other half is read meanwhile."""
        batch, room = list[_Part](), min(self._max_batch, max(ENOUGH, self._backlog // 2))
        while self._waiting and (not batch or len(self._waiting[0].messages) <= room):
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].messages)
        self._count -= sum(len(part.messages) for part in batch)
        return batch

    def _begin(self, batch: list[_Part]) -> _Begun:
        """Send a batch on its way."""
        messages = [message for part in batch for message in part.messages]
        try:
            return Context().run(self._admit, messages)
        except Exception as exc:
            return exc

    async def _commit(self, batch: list[_Part], begun: _Begun) -> list[Result]:
        try:
            if isinstance(begun, Exception):
                raise begun
            return _shares(batch, await begun)
        except StoreUnavailable as exc:
            logger.warning("a batch of %d requests was not admitted: %s", len(batch), exc, extra=_whose(batch))
            return [exc] * len(batch)
        except Exception as exc:  # whatever it is, requests wait for it
            if len(batch) == 1:
                logger.exception("a request was not admitted", extra=_whose(batch))
                return [exc]
        # One of them is the culprit. Its neighbours must not suffer; who was admitted already is now a duplicate.
        return [result for part in batch for result in await self._commit([part], self._begin([part]))]

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

"""A connection that an event loop reads, see chatbot/bridge.py. redis-py makes it, wherever its pool leads, and says
which error is which; its own asynchronous client would be a second way to Sentinels and clusters.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import Any, NamedTuple, cast

import hiredis
import redis
from redis.connection import DefaultParser

#: What a server says unasked; a hiredis that is older than this does not know it.
_PUSHED: Any = getattr(hiredis, "PushNotification", ())
_NOTHING = object()


class Asked(NamedTuple):
    """Commands that were sent together: how many answers they have, those that came, and who waits for them."""

    expected: int
    answers: list[Any]
    waiting: asyncio.Future[list[Any]]


class _Borrowed:
    """A pool's connection, whose socket somebody else reads. It blocks: for threads."""

    def __init__(self, pool: Any) -> None:
        self._pool, self._connection = pool, pool.get_connection()
        self.timeout: float | None = self._connection.socket_timeout
        try:
            if self._connection._sock is None:  # the pool was closed meanwhile
                raise redis.exceptions.ConnectionError("the connection is closed")
            self.socket: socket.socket = self._connection._sock.dup()
        except BaseException:
            self.give_back()
            raise

    def give_back(self) -> None:
        """Do so once: after that, it is another's."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)


class Pipe(asyncio.Protocol):
    """Asks on one connection. Many may ask before the first is answered; all are answered in order."""

    def __init__(self, borrowed: _Borrowed) -> None:
        self._borrowed = borrowed
        self._reader = hiredis.Reader(
            protocolError=redis.exceptions.InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_NOTHING,
        )
        self._asked: deque[Asked] = deque()
        self._loop = asyncio.get_running_loop()

    @staticmethod
    def can_lead(pool: Any) -> bool:
        """Say whether a pool's connections can be read so. Those that are encrypted are redis-py's alone."""
        return not issubclass(pool.connection_class, redis.SSLConnection)

    @classmethod
    async def connect(cls, pool: Any) -> Pipe:
        """Return a pipe to where a pool's connections lead. Raises what redis-py raises."""
        opening = asyncio.ensure_future(asyncio.to_thread(_Borrowed, pool))
        try:
            borrowed = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_give_back)  # the thread goes on
            raise
        loop, sock = asyncio.get_running_loop(), borrowed.socket
        create: Any = loop.create_connection if sock.family != socket.AF_UNIX else loop.create_unix_connection
        try:
            _, pipe = await create(lambda: cls(borrowed), sock=sock)
        except BaseException:
            sock.close()
            borrowed.give_back()
            raise
        return cast(Pipe, pipe)

    def usable(self) -> bool:
        """Say whether this can be asked, on the running loop."""
        return self._loop is asyncio.get_running_loop() and not self._transport.is_closing()

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send commands; return the answer to each of them, or the server's error. Raises OSError or redis-py's
        ConnectionError if the connection is lost: then it is unknown which of them the server has seen."""
        return await self.answers(self.send(packed, count))

    def send(self, packed: bytes, count: int) -> Asked:
        """Do the first half of it, at once."""
        asked = Asked(count, [], self._loop.create_future())
        try:
            self._asked.append(asked)
            self._transport.write(packed)
        except BaseException:
            self.close()
            raise
        return asked

    async def answers(self, asked: Asked) -> list[Any]:
        """Do the second half."""
        try:
            async with asyncio.timeout(self._borrowed.timeout):
                answers = await asked.waiting
        except BaseException:
            self.close()  # answers may still come, and must not be taken for those to what is asked next
            raise
        if any(isinstance(answer, redis.exceptions.ReadOnlyError) for answer in answers):
            self.close()  # no master any more: look for it again
        return answers

    def close(self) -> None:
        """End it; who waits is told."""
        self._transport.abort()

    def abandon(self) -> None:
        """Give the connection back if the loop has ended, which then does not."""
        if self._loop.is_closed():
            self._borrowed.socket.close()
            self._borrowed.give_back()

    # --- what the event loop says ---
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        # uvloop keeps what is written until the end of its iteration, unless that is more than this: but the server is
        # to work while the loop goes on.
        self._transport.set_write_buffer_limits(0)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _NOTHING:
                if not isinstance(answer, _PUSHED):
                    self._take(answer)
        except redis.exceptions.InvalidResponse:
            self.close()

    def _take(self, answer: Any) -> None:
        if not self._asked:
            raise redis.exceptions.InvalidResponse("an answer to no question")
        asked = self._asked[0]
        asked.answers.append(answer)
        if len(asked.answers) == asked.expected:
            self._asked.popleft()
            if not asked.waiting.done():  # who asked may have given up
                asked.waiting.set_result(asked.answers)

    def connection_lost(self, exc: Exception | None) -> None:
        for asked in self._asked:
            if not asked.waiting.done():
                asked.waiting.set_exception(redis.exceptions.ConnectionError(f"the connection is lost: {exc}"))
        self._asked.clear()
        self._borrowed.give_back()


def _give_back(opening: asyncio.Future[_Borrowed]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().socket.close()
        opening.result().give_back()

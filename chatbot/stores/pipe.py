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


class _Asked(NamedTuple):
    """Commands that were sent together: how many answers they have, those that came, and who waits for them."""

    expected: int
    answers: list[Any]
    waiting: asyncio.Future[list[Any]]


class Pipe(asyncio.Protocol):
    """Asks on one connection. Many may ask before the first is answered; all are answered in order."""

    def __init__(self, pool: Any, connection: Any) -> None:
        self._pool, self._connection = pool, connection
        self._reader = hiredis.Reader(
            protocolError=redis.exceptions.InvalidResponse,
            replyError=DefaultParser.parse_error,
            notEnoughData=_NOTHING,
        )
        self._asked: deque[_Asked] = deque()
        self._loop = asyncio.get_running_loop()

    @staticmethod
    def can_lead(pool: Any) -> bool:
        """Say whether a pool's connections can be read so. Those that are encrypted are redis-py's alone."""
        return not issubclass(pool.connection_class, redis.SSLConnection)

    @classmethod
    async def connect(cls, pool: Any) -> Pipe:
        """Return a pipe to where a pool's connections lead. Raises what redis-py raises."""
        connection = await asyncio.to_thread(pool.get_connection)
        sock: socket.socket = connection._sock.dup()
        loop = asyncio.get_running_loop()
        create: Any = loop.create_connection if sock.family != socket.AF_UNIX else loop.create_unix_connection
        _, pipe = await create(lambda: cls(pool, connection), sock=sock)
        return cast(Pipe, pipe)

    def usable(self) -> bool:
        """Say whether this can be asked, on the running loop."""
        return not self._transport.is_closing() and self._loop is asyncio.get_running_loop()

    async def ask(self, packed: bytes, count: int) -> list[Any]:
        """Send commands; return the answer to each of them, or the server's error. Raises OSError or redis-py's
        ConnectionError if the connection is lost: then it is unknown which of them the server has seen."""
        asked = _Asked(count, [], self._loop.create_future())
        self._asked.append(asked)
        self._transport.write(packed)
        try:
            async with asyncio.timeout(self._connection.socket_timeout):
                answers = await asked.waiting
        except BaseException:
            self._transport.abort()  # answers may still come, and must not be taken for those to what is asked next
            raise
        if any(isinstance(answer, redis.exceptions.ReadOnlyError) for answer in answers):
            self._transport.abort()  # no master any more: look for it again
        return answers

    # --- what the event loop says ---
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        try:
            while (answer := self._reader.gets()) is not _NOTHING:
                if not isinstance(answer, _PUSHED):
                    self._take(answer)
        except redis.exceptions.InvalidResponse:
            self._transport.abort()

    def _take(self, answer: Any) -> None:
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
        self._connection.disconnect()
        self._pool.release(self._connection)

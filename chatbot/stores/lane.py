"""A connection of its own for each thread that calls scripts all the time, and for each event loop.

Through redis-py's client such a call costs 40 us of CPU and more where threads compete, for its pool, retries and
telemetry; on a connection that the thread keeps, 15 us. And whoever is interrupted between a question and its answer
takes the connection along: redis-py's pipeline puts it back, and the next to use it may get an answer that was
another's.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import hiredis
import redis

from chatbot.bridge import apart, on_loop, wait
from chatbot.stores.pipe import Pipe

Command = tuple[Any, ...]

_LOST = (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, OSError)


class Lane:
    """Sends commands that may be sent twice: those whose connection breaks are repeated as the client would repeat
    them."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._threads = threading.local()
        #: Connections of threads that have ended, until another thread gives them back to the pool.
        self._left: deque[Any] = deque()

    def __call__(self, *command: Any) -> Any:
        """Return the answer to a command. Raises what the client raises."""
        if not hasattr(self.client, "connection_pool"):  # a cluster's client has to choose a node
            return apart(self.client.execute_command, *command)
        (answer,) = self.all([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def all(self, commands: Sequence[Command]) -> list[Any]:
        """Return the answer to each command, or the server's error. Raises what the client raises of a connection that
        is lost: then it is unknown which of them the server has seen."""
        if on_loop():
            return self._on_loop(commands)
        try:
            return self._hold().ask(commands)
        except _LOST:
            retry = self.client.get_retry()
            return cast(list[Any], retry.call_with_retry(lambda: self._hold().ask(commands), lambda _: None))

    def _on_loop(self, commands: Sequence[Command]) -> list[Any]:
        pool = self.client.connection_pool
        if not Pipe.can_lead(pool):
            return apart(self.all, commands)
        packed, count = _packed(commands), len(commands)
        # Once more on a new connection, if the one that was there is lost.
        if (pipe := self._pipe()) is not None:
            with suppress(*_LOST):
                return wait(pipe.answers(pipe.send(packed, count)))
        return wait(wait(self._connect()).ask(packed, count))

    def _pipe(self) -> Pipe | None:
        """Return the one of the running loop, which is this thread's."""
        pipe: Pipe | None = getattr(self._threads, "pipe", None)
        return pipe if pipe is not None and pipe.usable() else None

    async def _connect(self) -> Pipe:
        before, made = getattr(self._threads, "pipe", None), await Pipe.connect(self.client.connection_pool)
        if (other := self._pipe()) is not None:  # another call was sooner
            made.close()
            return other
        if before is not None:
            before.abandon()
        self._threads.pipe = made
        return made

    def _hold(self) -> _Hold:
        hold = getattr(self._threads, "hold", None)
        if hold is None or hold.pid != os.getpid():  # after a fork, the connection is the parent's
            pool = self.client.connection_pool
            with suppress(IndexError):
                while True:
                    pool.release(self._left.popleft())
            hold = self._threads.hold = _Hold(pool, self._left)
        return hold


class _Hold:
    """A thread's connection, which it leaves when it ends."""

    def __init__(self, pool: Any, left: deque[Any]) -> None:
        self.pid, self._left = os.getpid(), left
        self._connection: Any = None  # there is none to leave if the server does not answer
        self._connection = pool.get_connection()

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        try:
            if not self._connection.is_connected:
                self._connection.connect()  # a Sentinel's then asks for the master: sending alone would not
            self._connection.send_packed_command([_packed(commands)])
            answers = [self._answer() for _ in commands]
        except BaseException:
            # Answers may still come, and must not be taken for those of the next commands.
            self._connection.disconnect()
            raise
        if any(isinstance(answer, redis.exceptions.ReadOnlyError) for answer in answers):
            self._connection.disconnect()  # no master any more: look for it again
        return answers

    def _answer(self) -> Any:
        try:
            return self._connection.read_response()
        except redis.exceptions.ResponseError as exc:
            return exc

    def __del__(self) -> None:
        # This may run anywhere, even inside of the pool and under its lock: it must not ask for one.
        if self._connection is not None and self.pid == os.getpid():
            self._left.append(self._connection)


def _packed(commands: Sequence[Command]) -> bytes:
    # Not by redis-py, which looks at each argument twice, and sends a batch in several parts.
    return b"".join(map(hiredis.pack_command, commands))

"""Waiting for a token on the server, on time to the millisecond.

A server ends blocking calls that found nothing only when its own clock ticks, ten times a second by default (`hz`). So
the time is kept here, and the call is ended with CLIENT UNBLOCK, a little early as that is a trip of its own. None is
left standing: a token that it took meanwhile would be missed by whoever sleeps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import redis

#: s. The server ends a call by itself this long after its time, and one that it then says nothing about is lost.
SPARE, SILENT = 0.2, 1.5
#: s before its time at which a call is ended; a token that comes in this time waits for the next sleep.
EARLY = 0.0015


class Nap:
    """Sleeps until there is a token in one of the lists, which it takes. For one thread, on a connection of its own."""

    def __init__(self, client: Any, lists: Sequence[str]) -> None:
        self.client, self._lists = client, lists
        self._connection: Any = None
        #: By which the server knows the connection; 0 if this user may not end calls.
        self._id = 0

    def sleep(self, seconds: float) -> bool:
        """Say whether a token came within this time. Raises what the client raises."""
        if not hasattr(self.client, "connection_pool"):  # a cluster's: its lists share a node, which keeps the time
            return self.client.blpop(self._lists, seconds) is not None
        try:
            return self._sleep(seconds)
        except BaseException:
            self._drop()
            raise

    def _sleep(self, seconds: float) -> bool:
        if self._connection is None:
            self._connect()
        connection, since = self._connection, time.monotonic()
        if seconds > EARLY and self._is_told(connection, seconds - EARLY):
            return True
        time.sleep(max(0.0, since + seconds - time.monotonic()))
        return False

    def _is_told(self, connection: Any, seconds: float) -> bool:
        since = time.monotonic()
        connection.send_command("BLPOP", *self._lists, f"{seconds + SPARE:.3f}")
        if not connection.can_read(seconds):
            self._end()
            if not connection.can_read(SPARE + SILENT):
                raise redis.exceptions.TimeoutError(f"no answer for {time.monotonic() - since:.1f} s")
        return connection.read_response() is not None

    def _connect(self) -> None:
        self._connection = self.client.connection_pool.get_connection()
        try:
            self._connection.send_command("CLIENT", "ID")
            self._id = int(self._connection.read_response())
        except redis.exceptions.ResponseError:
            self._id = 0

    def _end(self) -> None:
        """Let the server answer now. One that forbids it answers at its next tick."""
        if self._id:
            try:
                self.client.execute_command("CLIENT UNBLOCK", self._id)
            except redis.exceptions.ResponseError:
                self._id = 0

    def __del__(self) -> None:
        # This may run anywhere, so it must not ask for the pool's lock.
        if self._connection is not None:
            self._connection.disconnect()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self.client.connection_pool.release(connection)

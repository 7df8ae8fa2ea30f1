"""What a worker process holds: messages that it has fetched and that are neither done nor given back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from dramatiq.broker import MessageProxy
from dramatiq.message import Message


class Delivery(MessageProxy):
    """A message as it was fetched. Its token tells this delivery from every other one of the same message."""

    #: A guard may note what a delivery has done when it is acknowledged, see `when_settled`.
    settles_first = True

    def __init__(self, message: Message[Any], redis_id: str, token: str, redelivered: bool) -> None:
        super().__init__(message)
        vars(self).update(vars(message))  # a proxy's own look-up is Python's, and there are dozens for each call
        self.redis_id, self.token, self.redelivered = redis_id, token, redelivered
        #: Set by whoever wants the broker to take it back instead of acknowledging it.
        self.unacknowledged = False


class Holdings:
    """The deliveries of one queue that this process holds. Those that are done make room for others before the server
    knows: else work would stop for every trip of an acknowledgement."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[str, Delivery] = {}
        #: Those that are not done.
        self._undone: dict[str, Delivery] = {}
        #: Nobody who waits for room has some while more than so many are not done.
        self._enough = 0
        #: Fetches are numbered, so that one whose answer was lost can be repeated; one at a time.
        self.fetching = threading.Lock()
        self.fetch_number = 1

    def __contains__(self, delivery: object) -> bool:
        return isinstance(delivery, Delivery) and self._held.get(delivery.redis_id) is delivery

    def __len__(self) -> int:
        return len(self._held)

    @property
    def undone(self) -> int:
        return len(self._undone)

    def add(self, delivery: Delivery) -> None:
        with self._changed:
            self._held[delivery.redis_id] = delivery
            self._undone[delivery.redis_id] = delivery

    def done(self, delivery: Delivery) -> None:
        """A delivery has run; the server is told later."""
        with self._changed:
            if self._undone.get(delivery.redis_id) is delivery:
                del self._undone[delivery.redis_id]
            if len(self._undone) <= self._enough:
                self._changed.notify_all()

    def remove(self, delivery: Delivery) -> None:
        with self._changed:
            if delivery in self:
                del self._held[delivery.redis_id]
        self.done(delivery)

    def clear(self) -> int:
        """The server has given everything to others. Return how many there were."""
        with self._changed:
            count = len(self._held)
            self._held.clear()
            self._undone.clear()
            self._changed.notify_all()
            return count

    def kept(self) -> list[Delivery]:
        """Return what is not to be acknowledged."""
        with self._changed:
            return [delivery for delivery in self._held.values() if delivery.unacknowledged]

    def room(self, most: int, timeout: float) -> int:
        """Return how many more may be held, after at most `timeout` s.

        A quarter at a time: one fetch for every message that is done would be as many calls as messages.
        """
        enough = max(1, most // 4)
        with self._changed:
            self._enough = max(self._enough, most - enough)
            self._changed.wait_for(lambda: most - self.undone >= enough, timeout)
            room = most - self.undone
        return room if room >= enough else 0


class Acknowledger:
    """Acknowledges what workers have done behind their backs: their next call need not wait for the server.

    A thread sends what has gathered while it sent what came before. It begins with the first message and ends with
    `stop`.
    """

    def __init__(self, send: Callable[[list[Delivery]], None]) -> None:
        """`send` acknowledges deliveries; it must not raise."""
        self._send = send
        self._done: SimpleQueue[Delivery | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._lock = threading.Lock()

    def put(self, delivery: Delivery) -> None:
        """Acknowledge a delivery soon, after `stop` at once."""
        self._done.put(delivery)
        if self._thread is None:
            self._start()

    def stop(self) -> None:
        """Return when everything is sent."""
        with self._lock:
            thread, self._thread, self._stopped = self._thread, None, True
        if thread is not None:
            self._done.put(None)
            thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._stopped:
                self._send_with([])
            elif self._thread is None:
                self._thread = threading.Thread(target=self._run, name="chatbot-redis-acknowledger", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while self._send_with([self._done.get()]):
            pass

    def _send_with(self, done: list[Delivery | None]) -> bool:
        """Send these and what has gathered; return False after the last."""
        with suppress(Empty):
            while True:
                done.append(self._done.get_nowait())
        if deliveries := [delivery for delivery in done if delivery is not None]:
            self._send(deliveries)
        return None not in done

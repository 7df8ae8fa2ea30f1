"""What a worker process holds: messages that it has fetched and that are neither done nor given back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from dramatiq.broker import MessageProxy
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message

T = TypeVar("T")


class Delivery(MessageProxy):
    """A message as it was fetched. Its token tells this delivery from every other one of the same message."""

    def __init__(self, message: Message[Any], redis_id: str, token: str, redelivered: bool) -> None:
        super().__init__(message)
        self.redis_id, self.token, self.redelivered = redis_id, token, redelivered
        #: Set by whoever wants the broker to take it back instead of acknowledging it.
        self.unacknowledged = False


class Holdings:
    """The deliveries of one queue that this process holds."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._held: dict[str, Delivery] = {}
        #: Fetches are numbered, so that one whose answer was lost can be repeated; one at a time.
        self.fetching = threading.Lock()
        self.fetch_number = 1

    def __contains__(self, delivery: object) -> bool:
        return isinstance(delivery, Delivery) and self._held.get(delivery.redis_id) is delivery

    def __len__(self) -> int:
        return len(self._held)

    def add(self, delivery: Delivery) -> None:
        with self._changed:
            self._held[delivery.redis_id] = delivery

    def remove(self, delivery: Delivery) -> None:
        with self._changed:
            if delivery in self:
                del self._held[delivery.redis_id]
            self._changed.notify_all()

    def clear(self) -> int:
        """The server has given everything to others. Return how many there were."""
        with self._changed:
            count = len(self._held)
            self._held.clear()
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
            self._changed.wait_for(lambda: most - len(self._held) >= enough, timeout)
            room = most - len(self._held)
        return room if room >= enough else 0


class Together:
    """Runs what several threads ask for at the same time in one call: who comes while it runs, shares the next."""

    def __init__(self, run: Callable[[list[T]], Iterable[Any]]) -> None:
        self._run = run
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting: list[_Request] = []

    def __call__(self, item: Any) -> Any:
        """Return the answer to an item. Raises what the call raised."""
        request = _Request(item)
        with self._lock:
            self._waiting.append(request)
        with self._turn:
            if not request.done:
                self._run_waiting()
        if request.error is not None:
            raise request.error
        return request.answer

    def _run_waiting(self) -> None:
        with self._lock:
            requests, self._waiting = self._waiting, []
        try:
            answers = self._run([request.item for request in requests])
            for request, answer in zip(requests, answers, strict=True):
                request.answer = answer
        except BaseException as exc:
            # An interrupt is meant for this thread alone.
            for request in requests:
                request.error = exc if isinstance(exc, Exception) else ConnectionClosed(exc)
            if not isinstance(exc, Exception):
                raise
        finally:
            for request in requests:
                request.done = True


class _Request:
    __slots__ = ("answer", "done", "error", "item")

    def __init__(self, item: Any) -> None:
        self.item, self.answer, self.done = item, None, False
        self.error: BaseException | None = None

"""What a worker process has fetched, handed to its threads in fair shares of the queues.

Dramatiq's own is one priority queue over all: whatever is fetched first runs first, so five slow calls hold up every
reply behind them.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Mapping
from itertools import islice
from queue import Empty, Queue
from typing import Any


class FairQueue(Queue[Any]):
    """Smooth weighted round-robin over queues that have work; inside a queue, Dramatiq's order.

    Items are Dramatiq's work items: they sort by priority and arrival, and carry their message. A queue without a
    weight counts as 1.
    """

    def __init__(self, weights: Mapping[str, int], reserved: str | None = None) -> None:
        self._weights, self._reserved = weights, reserved
        super().__init__()
        self._reserved_work = threading.Condition(self.mutex)

    # The hooks of queue.Queue, called with its lock held.
    def _init(self, maxsize: int) -> None:
        self._waiting: dict[str, list[Any]] = {}
        self._credit: dict[str, int] = {}

    def _qsize(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _put(self, item: Any) -> None:
        name = item.message.queue_name
        heapq.heappush(self._waiting.setdefault(name, []), item)
        if name == self._reserved:
            self._reserved_work.notify()

    def _get(self) -> Any:
        return self._take(self._next())

    def _next(self) -> str:
        """Each queue with work earns its weight; the one with the most credit is next, and pays for all."""
        names = [name for name, items in self._waiting.items() if items]
        if len(names) == 1:
            return names[0]  # it pays what it earns
        for name in names:
            self._credit[name] = self._credit.get(name, 0) + self._weight(name)
        chosen = max(names, key=lambda name: self._credit[name])
        self._credit[chosen] -= sum(map(self._weight, names))
        return chosen

    def _take(self, name: str) -> Any:
        item = heapq.heappop(self._waiting[name])
        if not self._waiting[name]:
            self._credit.pop(name, None)  # a queue that comes back starts level: no debt, no savings
        return item

    def _weight(self, name: str) -> int:
        return self._weights.get(name, 1)

    def waiting(self, most: int) -> list[Any]:
        """Return messages that wait, at most so many, without taking them."""
        with self.mutex:
            waiting = (item.message for items in self._waiting.values() for item in items)
            return list(islice(waiting, most))

    def get_reserved(self, timeout: float) -> Any:
        """Take work of the reserved queue only. Raises queue.Empty after `timeout` s."""
        deadline = time.monotonic() + timeout
        with self.mutex:
            while not self._waiting.get(self._reserved or ""):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise Empty
                self._reserved_work.wait(remaining)
            return self._take(self._reserved or "")


class Reserve:
    """The fair queue as a thread sees it that takes only the reserved queue's work."""

    def __init__(self, work: FairQueue) -> None:
        self._work = work
        self.task_done = work.task_done

    def get(self, timeout: float) -> Any:
        """Return the next item. Raises queue.Empty after `timeout` s."""
        return self._work.get_reserved(timeout)

"""What a store in memory is made of: entries that expire, and an index by time."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")

#: Dropped keys may leave this many outdated ends behind before they are cleared away.
SLACK = 64


class Expiring(Generic[K, V]):
    """A mapping whose entries end. Each `put` also drops what ended meanwhile, so nothing scans and nothing piles up.

    `now` is read in ms, and so are all lifetimes.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._entries: dict[K, tuple[V, int]] = {}
        # One end per key, which may be sooner than the entry's: prolonging an entry must not cost a push.
        self._ends: list[tuple[int, K]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """Return the value, or None if it was never there or has expired."""
        value, ends = self._entries.get(key, (None, 0))
        return value if ends > self._now() else None

    def put(self, key: K, value: V, ttl: int) -> None:
        """Set the value for `ttl`."""
        ends = self._now() + ttl
        if key not in self._entries:
            heapq.heappush(self._ends, (ends, key))
        self._entries[key] = (value, ends)
        self._sweep()

    def live(self) -> dict[K, V]:
        """Return what has not expired."""
        return {key: value for key, (value, ends) in self._entries.items() if ends > self._now()}

    def prolong(self, key: K, ttl: int) -> None:
        """Let an entry that is there live at least `ttl` from now."""
        value = self.get(key)
        if value is not None:
            self._entries[key] = (value, max(self._entries[key][1], self._now() + ttl))

    def ttl(self, key: K) -> int | None:
        """Return how long the entry still lives; None if it is not there."""
        return None if self.get(key) is None else self._entries[key][1] - self._now()

    def pop(self, key: K) -> V | None:
        """Drop the entry and return its value, or None if it was not there."""
        value = self.get(key)
        self._entries.pop(key, None)
        return value

    def _sweep(self) -> None:
        while self._ends and self._ends[0][0] <= self._now():
            _, key = heapq.heappop(self._ends)
            _, ends = self._entries.get(key, (None, 0))
            if ends > self._now():
                heapq.heappush(self._ends, (ends, key))
            else:
                self._entries.pop(key, None)
        if len(self._ends) > 2 * len(self._entries) + SLACK:
            self._ends = [(ends, key) for key, (_, ends) in self._entries.items()]
            heapq.heapify(self._ends)


class Schedule:
    """Keys in the order in which they are to be looked at, each at one time."""

    def __init__(self) -> None:
        self._times: dict[str, int] = {}
        self._order: list[tuple[int, str]] = []

    def set(self, key: str, at: int) -> None:
        """Look at the key at this time, and at no other."""
        self.drop(key)
        self._times[key] = at
        insort(self._order, (at, key))

    def drop(self, key: str) -> None:
        """Do not look at the key."""
        at = self._times.pop(key, None)
        if at is not None:
            del self._order[bisect_left(self._order, (at, key))]

    def time(self, key: str) -> int | None:
        """Return when the key is to be looked at."""
        return self._times.get(key)

    def __len__(self) -> int:
        return len(self._order)

    def head(self) -> tuple[int, str] | None:
        """Return the next time and its key."""
        return self._order[0] if self._order else None

    def first(self, count: int) -> list[str]:
        """Return the keys that are looked at next."""
        return [key for _, key in self._order[:count]]

    def due(self, now: int, limit: int) -> list[str]:
        """Return the keys whose time has come, the most overdue first."""
        end = bisect_left(self._order, (now + 1, ""))
        return [key for _, key in self._order[: min(end, limit)]]

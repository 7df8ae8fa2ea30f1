"""What stands around the mailboxes, in memory: entries that expire, an index by time, closed turns, and records."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Generic, TypeVar

from chatbot.stores.base import OPEN, Claim, Entry, Outcome, grace
from chatbot.stores.operators import Grave

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


@dataclass(frozen=True, slots=True)
class Result:
    """How a turn was settled and by whom, with its value or its reason."""

    outcome: Outcome
    owner: str
    value: bytes


class ClosedTurns:
    """The results of settled turns, and the items of buried ones."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._results: Expiring[tuple[str, int], Result] = Expiring(now)
        self._buried: Expiring[tuple[str, int], Grave] = Expiring(now)
        # When each was buried, in that order.
        self._graves: dict[tuple[str, int], int] = {}
        # Per key, the epochs that still have either, and until when: only `forget` reads it.
        self._epochs: Expiring[str, dict[int, int]] = Expiring(now)

    def result(self, key: str, epoch: int) -> Result | None:
        """Return what a late copy of the turn's message may still learn."""
        return self._results.get((key, epoch))

    def settle(self, key: str, epoch: int, items: tuple[Entry, ...], result: Result, ttl: int) -> None:
        """Keep the result for `ttl`, and the items if they are buried."""
        self._results.put((key, epoch), result, ttl)
        if result.outcome == "dead":
            self.prune(OPEN)
            at = self._graves[key, epoch] = self._now()
            grave = Grave(key=key, epoch=epoch, at=at, reason=result.value, size=len(items), entries=items)
            self._buried.put((key, epoch), grave, OPEN)
        life, now = max(OPEN if result.outcome == "dead" else 0, ttl), self._now()
        epochs = {e: ends for e, ends in (self._epochs.get(key) or {}).items() if ends > now}
        epochs[epoch] = now + life
        self._epochs.put(key, epochs, max(epochs.values()) - now)

    def exhume(self, key: str, epoch: int) -> tuple[Entry, ...]:
        """Take the items out of their grave."""
        self._graves.pop((key, epoch), None)
        grave = self._buried.pop((key, epoch))
        return grave.entries if grave else ()

    def graves(self, key: str = "") -> list[Grave]:
        """Return the buried turns, newest first: of one key, or of all."""
        newest = (self._buried.get(place) for place in reversed(self._graves) if key in ("", place[0]))
        return [grave for grave in newest if grave]

    def grave(self, key: str, epoch: int) -> Grave | None:
        """Return one buried turn."""
        return self._buried.get((key, epoch))

    @property
    def dead(self) -> int:
        """How many buried turns there are."""
        return len(self._graves)

    def prune(self, age: int, most: int | None = None) -> int:
        """Drop what was buried `age` ago or earlier, the oldest first; return how many that were."""
        until = self._now() - age
        old = list(islice(takewhile(lambda grave: self._graves[grave] <= until, self._graves), most))
        for key, epoch in old:
            self.exhume(key, epoch)
        return len(old)

    def forget(self, key: str) -> list[Entry]:
        """Drop all that is kept of a key, and return the items that were buried."""
        epochs = self._epochs.pop(key) or {}
        for epoch in epochs:
            self._results.pop((key, epoch))
        return [item for epoch in epochs for item in self.exhume(key, epoch)]


@dataclass(frozen=True, slots=True)
class _Record:
    done: bool
    owner: str
    fingerprint: str
    #: What is left of a pending record's lease (ms) when a suspected owner loses it.
    yields: int = 0


class Records:
    """Standalone records: pending under a lease, or done, with a value that may end sooner than its record."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._records: Expiring[str, _Record] = Expiring(now)
        self._values: Expiring[str, bytes] = Expiring(now)

    def claim(self, key: str, owner: str, lease: int, fingerprint: str, redelivered: bool) -> Claim:
        """Take the record, or learn who has it and what it holds."""
        record = self._records.get(key)
        if record is None:
            return self._take(key, owner, lease, fingerprint)
        if record.fingerprint != fingerprint:
            return Claim(verdict="mismatch")
        if record.owner == owner:
            self.renew(key, owner, lease)
            return Claim(verdict="mine")
        if record.done:
            return Claim(verdict="done", owner=record.owner, value=self._values.get(key) or b"")
        suspected = redelivered and record.owner.partition("/")[0] == owner.partition("/")[0]
        remaining = (self._records.ttl(key) or 0) - (record.yields if suspected else 0)
        if remaining <= 0:
            return self._take(key, owner, lease, fingerprint)
        return Claim(verdict="busy", owner=record.owner, remaining=remaining)

    def _take(self, key: str, owner: str, lease: int, fingerprint: str) -> Claim:
        self._records.put(key, _Record(False, owner, fingerprint, lease - grace(lease)), lease)
        return Claim(verdict="new")

    def renew(self, key: str, owner: str, lease: int) -> bool:
        """Prolong a pending record's lease, if it is the owner's."""
        record = self._records.get(key)
        if record is None or record.done or record.owner != owner:
            return False
        self._records.put(key, record, lease)
        return True

    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        """Mark the record done, unless it is somebody else's. The first value stays."""
        record = self._records.get(key)
        if record and record.owner != owner:
            return None
        if record and record.done:
            return self._values.get(key) or b""
        self._records.put(key, _Record(True, owner, fingerprint), ttl)
        self._values.put(key, value, value_ttl)
        return value

    def release(self, key: str, owner: str) -> bool:
        """Drop the record if it is pending and the owner's."""
        record = self._records.get(key)
        if record is None or record.done or record.owner != owner:
            return False
        self._records.pop(key)
        return True

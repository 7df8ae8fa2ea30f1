"""What a store in memory keeps of turns that are settled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice, takewhile

from chatbot.stores.keyspace import Expiring
from chatbot.stores.operators import Grave
from chatbot.stores.values import OPEN, Entry, Outcome


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

"""Claims ahead: who asks the store for its record asks, in the same trip, for those of the calls that wait behind it.

The claim of a call that has not begun is a lease like any other: if its worker dies, it lapses. It is trusted for as
long as the heartbeat would have left it alone; a call that had to wait for longer asks again, as the same owner.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from chatbot.errors import StoreUnavailable
from chatbot.middleware.claims import Claimed, Record, claim, wanted
from chatbot.middleware.leases import RENEWALS
from chatbot.stores.base import Store
from chatbot.stores.values import Claim, Wanted

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

#: Claims that share a trip: more would keep the store's other callers waiting.
MOST = 100
#: s. Where calls wait for longer than a claim is trusted, nobody claims ahead for so long.
PAUSE = 10.0
#: ms. If this process dies, what it has claimed and not begun waits for its lease: a longer one is not taken ahead.
LONGEST = 10_000
#: What a record says to its owner.
_OURS = ("new", "mine")


class _Trip:
    """One call to the store, for which several deliveries wait."""

    def __init__(self) -> None:
        # Unlike an Event's, an interrupted wait for a plain lock harms others at most by their own time-outs.
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def end(self) -> None:
        self._under_way.release()

    def has_ended(self, within: float) -> bool:
        """Wait up to `within` s for the end."""
        if not self._under_way.acquire(timeout=max(0.0, within)):
            return False
        self._under_way.release()
        return True


@dataclass(slots=True, eq=False)
class _Asked:
    """What is asked for one delivery."""

    record: Record
    wanted: Wanted
    trip: _Trip
    since: float = field(default_factory=time.monotonic)
    #: What the record says, or why it could not be asked.
    answer: Claim | Exception | None = None
    begun: bool = False
    #: The delivery does without: what is granted must be given back.
    over: bool = False

    @property
    def is_granted(self) -> bool:
        return isinstance(self.answer, Claim) and self.answer.verdict in _OURS

    def is_answered(self) -> bool:
        """Wait for the answer, as long as it would be trusted."""
        return self.answer is not None or self.trip.has_ended(self.trusted_until - time.monotonic())

    @property
    def trusted_until(self) -> float:
        return self.since + self.wanted.lease / 1000 / RENEWALS


class Ahead:
    """Claims records for the deliveries of one process.

    `record_of` returns the record of a message, or None if it has none. `waiting` returns up to so many messages that
    wait in this process; who knows them sets it.
    """

    def __init__(self, store: Store, record_of: Callable[[MessageProxy], Record | None]) -> None:
        self._store, self._record_of = store, record_of
        self.waiting: Callable[[int], Sequence[MessageProxy]] = _nothing
        #: Nobody changes a message between its claim and its run; who knows that sets it.
        self.unchanged = False
        #: Of deliveries that have not begun. Whoever takes one out decides what becomes of its claim.
        self._ahead: dict[int, _Asked] = {}
        self._paused_until = 0.0

    def record(self, message: MessageProxy) -> Record | None:
        """Return what is known of a delivery's record: nothing, if somebody may have changed the message since."""
        asked = _known(message)
        return asked.record if asked is not None and self.unchanged else None

    def claim(self, record: Record, message: MessageProxy) -> Claimed:
        """Claim the record of a delivery that begins, see `claim` in chatbot/middleware/claims.py."""
        asked = _known(message)
        if asked is None:
            own = _Asked(record, wanted(record, message), _Trip())
            if (asked := _first(message, own)) is own:
                own.begun = True
                return self._lead(own)
        if self._ahead.pop(id(asked), None) is None:
            # It asks again, as its first answer was lost; or the worker has given its claim back.
            return self._anew(asked, record, message)
        asked.begun = True
        if asked.record != record or not asked.is_answered():
            self._give_back(asked)  # before the call began, somebody changed it; or the store is slow
        if not asked.is_granted:
            return self._anew(asked, record, message)
        if time.monotonic() > asked.trusted_until:
            self._paused_until = time.monotonic() + PAUSE
            return self._anew(asked, record, message)
        assert isinstance(asked.answer, Claim)
        return asked.wanted.owner, asked.since, asked.answer

    def end(self, message: MessageProxy) -> None:
        """A delivery is over. If it never began, its claim is for others."""
        asked = _known(message)
        if asked is not None and self._ahead.pop(id(asked), None) is not None:
            self._give_back(asked)

    def end_all(self) -> None:
        """The worker has stopped: what it has not begun is for others."""
        self.waiting = _nothing
        with suppress(KeyError):  # no more
            while self._give_back(self._ahead.popitem()[1]):
                pass
        self._ahead.clear()  # what could not be given back lapses: who stops does not wait for a store

    def _lead(self, own: _Asked) -> Claimed:
        try:
            asked = [own, *self._choose(own.trip)]
            for one, answer in zip(asked, self._store.claim_many([one.wanted for one in asked]), strict=True):
                one.answer = answer
        finally:
            own.trip.end()
        for one in asked:
            if one.over:
                self._give_back(one)
        if isinstance(own.answer, Claim):
            return own.wanted.owner, own.since, own.answer
        raise own.answer or RuntimeError("the store has not said what became of a claim")

    def _choose(self, trip: _Trip) -> list[_Asked]:
        """Return what else to ask in a trip; what is asked in another is not."""
        if time.monotonic() < self._paused_until:
            return []
        chosen = []
        for message in self.waiting(MOST):
            if _known(message) is None and (record := self._readable(message)) and record.lease <= LONGEST:
                asked = _Asked(record, wanted(record, message), trip)
                self._ahead[id(asked)] = asked
                if _first(message, asked) is asked:
                    chosen.append(asked)
                else:  # it has begun, or another trip asks for it
                    self._ahead.pop(id(asked), None)
        return chosen

    def _readable(self, message: MessageProxy) -> Record | None:
        try:
            return self._record_of(message)
        except Exception:
            return None  # whatever is wrong with a call is said when it runs

    def _anew(self, asked: _Asked, record: Record, message: MessageProxy) -> Claimed:
        # What is given back may reach the store after this, so that owner is not used again.
        again = asked.begun and not asked.over
        return claim(self._store, record, message, asked.wanted.owner if again else "")

    def _give_back(self, asked: _Asked) -> bool:
        """Let go of what is granted; say whether the store could be told."""
        asked.over = True
        # While the trip is under way this is left to who made it.
        if asked.is_granted:
            asked.answer = None
            try:
                self._store.release(asked.wanted.key, asked.wanted.owner)
            except StoreUnavailable:
                return False
        return True


def _known(message: MessageProxy) -> _Asked | None:
    return vars(message).get("asked")


def _first(message: MessageProxy, asked: _Asked) -> _Asked:
    """Return what is asked for a delivery: this, unless something is. One step in C: an interrupt could leave a lock
    locked."""
    first: _Asked = vars(message).setdefault("asked", asked)
    return first


def _nothing(_: int) -> Sequence[MessageProxy]:
    return ()

"""One heartbeat per process renews every lease that its runs hold, in one call to the store."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chatbot.errors import LeaseLost, StoreUnavailable
from chatbot.stores.base import Lease, Store

logger = logging.getLogger(__name__)

#: A lease is renewed so many times in its length: the loss of one renewal, or of two, costs nothing.
RENEWALS = 5


class Held:
    """A lease that this process holds, as far as it knows. `length` is in ms, times are monotonic seconds."""

    def __init__(self, heartbeat: Heartbeat, lease: Lease, length: int, since: float) -> None:
        self.lease, self.length, self.lost = lease, length, False
        self.heartbeat = heartbeat
        #: When the last renewal that succeeded was sent.
        self.renewed = since
        self.due = since + self.pace

    @property
    def pace(self) -> float:
        """Seconds from one renewal to the next."""
        return self.length / 1000 / RENEWALS

    def secure(self, seconds: float) -> None:
        """Make sure that nobody can have taken the lease over, nor will within `seconds`; renews it if need be.

        Raises LeaseLost, or StoreUnavailable if the store cannot say.
        """
        if not self.lost and time.monotonic() - self.renewed + seconds > self.length / 1000:
            self.heartbeat.renew([self])
        if self.lost:
            raise LeaseLost()


class Heartbeat:
    """Renews leases while their runs last. The thread starts with the first lease."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._held: set[Held] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wakes = 0.0

    @contextmanager
    def holding(self, lease: Lease, length: int, since: float) -> Iterator[Held]:
        """Renew a lease of `length` ms until the block ends; `since` is the time just before it was asked for."""
        held = Held(self, lease, length, since)
        with self._changed:
            self._held.add(held)
            self._start()
            if held.due < self._wakes:
                self._changed.notify()
        try:
            yield held
        finally:
            with self._changed:
                self._held.discard(held)

    def renew(self, held: Sequence[Held]) -> None:
        """Renew these leases now; one that the store denies is marked lost."""
        by_length: defaultdict[int, list[Held]] = defaultdict(list)
        for one in held:
            by_length[one.length].append(one)
        for length, group in by_length.items():
            sent = time.monotonic()
            for one in group:
                one.due = sent + one.pace
            for one, alive in zip(group, self.store.renew([h.lease for h in group], length), strict=True):
                if alive:
                    one.renewed = sent
                elif one in self._held:  # a run that ended meanwhile has nothing to lose
                    one.lost = True
                    logger.warning("lost the lease of %s: its run will have no effect", one.lease.key)

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        while True:
            held = self._next()
            try:
                self.renew(held)
            except StoreUnavailable as exc:
                logger.warning("could not renew %d leases: %s", len(held), exc)
            except Exception:
                logger.exception("could not renew %d leases", len(held))

    def _next(self) -> list[Held]:
        """Wait until a lease is due; return it with those that will be soon, so that they share a call from now on."""
        with self._changed:
            while True:
                live = [one for one in self._held if not one.lost]
                now = time.monotonic()
                self._wakes = min((one.due for one in live), default=math.inf)
                if self._wakes <= now:
                    return [one for one in live if one.due <= now + one.pace / 2]
                self._changed.wait(None if self._wakes == math.inf else self._wakes - now)

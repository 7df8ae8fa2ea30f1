"""One heartbeat per process renews every lease that its runs hold, in one call to the store."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from weakref import ref

from chatbot.errors import LeaseLost, StoreUnavailable
from chatbot.middleware.observer import NOBODY, Observer, together
from chatbot.stores.base import Store
from chatbot.stores.values import Lease

logger = logging.getLogger(__name__)

#: A lease is renewed so many times in its length: the loss of one renewal, or of two, costs nothing.
RENEWALS = 5


class Held:
    """A lease that this process holds, as far as it knows. `length` and `grace` are in ms, times are monotonic
    seconds."""

    def __init__(self, heartbeat: Heartbeat, lease: Lease, length: int, since: float, grace: int | None) -> None:
        self.lease, self.length, self.lost = lease, length, False
        #: Its run is being settled: a store that denies the lease may already have done that.
        self.settling = False
        self.heartbeat = heartbeat
        #: For so long after a renewal nobody can take the lease over: a suspected one ends before its length.
        self.grace = length if grace is None else grace
        #: When the last renewal that succeeded was sent.
        self.renewed = since
        self.due = since + self.pace

    @property
    def pace(self) -> float:
        """Seconds from one renewal to the next."""
        return self.length / 1000 / RENEWALS

    def secure(self, seconds: float) -> None:
        """Make sure that nobody can have taken the lease over, nor will within `seconds`; renews it if need be.

        Raises LeaseLost if that cannot be had, or StoreUnavailable if the store cannot say.
        """
        if not self.lost and self._age() + seconds > self.grace / 1000:
            self.heartbeat.renew([self])
        # A renewal may take long. One that was just made is as good as it gets, even if its grace is no longer.
        if self.lost or self._age() + seconds > self.length / 1000:
            raise LeaseLost()

    def _age(self) -> float:
        return time.monotonic() - self.renewed


class Heartbeat:
    """Renews leases while their runs last. The thread starts with the first lease.

    Runs share no lock with it: an interrupt (a time limit, a shutdown) may leave a Condition or an Event locked for
    ever, but it cannot come between the parts of one step in C.
    """

    def __init__(self, store: Store, observer: Observer = NOBODY) -> None:
        self.store, self.observer = store, together(observer)
        # Weak: a run that was interrupted on its way out of `holding` must not keep its lease for ever.
        self._held: dict[int, ref[Held]] = {}
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._added: SimpleQueue[None] = SimpleQueue()
        #: When the thread looks at the leases again by itself.
        self._wakes = math.inf

    @contextmanager
    def holding(self, lease: Lease, length: int, since: float, grace: int | None = None) -> Iterator[Held]:
        """Renew a lease of `length` ms until the block ends; `since` is the time just before it was asked for.

        `grace` (ms) is what is sure of it after a renewal; without one, all of it.
        """
        held = Held(self, lease, length, since, grace)
        self._start()
        try:
            self.hold(held)
            yield held
        finally:
            self.let_go(held)

    def hold(self, held: Held) -> None:
        """Renew a lease until it is let go; also one that a block has held, which has more to do than the block."""
        self._held[id(held)] = ref(held)
        if held.due < self._wakes:
            self._added.put(None)

    def let_go(self, held: Held) -> None:
        """Renew a lease no more."""
        self._held.pop(id(held), None)

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._held, self._added = {}, SimpleQueue()  # after a fork, they are the parent's
                self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
                self._thread.start()

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
                elif id(one) in self._held:  # a run that ended meanwhile has nothing to lose
                    one.lost = True
                    if not one.settling:
                        logger.warning("lost the lease of %s: its run will have no effect", one.lease.key)
                        self.observer.lease_lost(one.lease.key)

    def _beat(self) -> None:
        while True:
            try:
                # Nothing here may keep a lease in a variable: what only we know of is to be forgotten.
                self.renew(self._next())
            except StoreUnavailable as exc:
                logger.warning("could not renew leases: %s", exc)
            except Exception:
                logger.exception("could not renew leases")

    def _next(self) -> list[Held]:
        """Wait until a lease is due; return it with those that will be soon, so that they share a call from now on."""
        while True:
            self._wakes = math.inf  # who comes from here on, wakes us
            wakes, now = min((one.due for one in self._live()), default=math.inf), time.monotonic()
            if wakes <= now:
                return [one for one in self._live() if one.due <= now + one.pace / 2]
            self._wakes = wakes
            with suppress(Empty):
                self._added.get(timeout=None if wakes == math.inf else wakes - now)

    def _live(self) -> Iterator[Held]:
        for name, known in list(self._held.items()):
            held = known()
            if held is None:
                self._held.pop(name, None)
            elif not held.lost:
                yield held

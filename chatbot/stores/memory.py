"""The ledger in this process, for tests and for a try-out: every verb under one lock, with a clock that can be given.

It keeps the protocol's semantics to the letter, times to live included, but not its durability.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from chatbot.stores.closed_turns import ClosedTurns, Result
from chatbot.stores.keyspace import Expiring, Schedule
from chatbot.stores.mailbox import Mailbox, Mark
from chatbot.stores.memory_journal import Journal
from chatbot.stores.memory_mailboxes import MemoryMailboxes
from chatbot.stores.records import Records
from chatbot.stores.values import (
    Begun,
    Claim,
    ClaimCheck,
    Due,
    FinishVerdict,
    FollowUp,
    Lease,
    MailboxState,
    Mended,
    Offer,
    Offered,
    Outcome,
    Survey,
    Window,
    digest,
    kept,
    plain,
    subject,
)


class ManualClock:
    """A clock that stands still until it is advanced. Called, it tells the time in us."""

    def __init__(self, now: int = 1_700_000_000_000_000) -> None:
        self._now = now

    def __call__(self) -> int:
        return self._now

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self._now += ms * 1_000


def system_time() -> int:
    """Return this machine's time in us."""
    return time.time_ns() // 1_000


class MemoryStore(MemoryMailboxes):
    """The ledger in memory. `clock` tells the time in us; without one it is the system's.

    It can be pickled, if its clock can: `docs/writing-a-store.md` keeps one in a file.
    """

    def __init__(self, *, clock: Callable[[], int] | None = None) -> None:
        self._clock = clock or system_time
        self._us = self._clock()
        self._lock = threading.Condition()
        self._woken = False
        # One for all keys: a key that was idle must get a new epoch even if the clock stands still.
        self._epoch = 0
        self._due = Schedule()
        self._boxes: Expiring[str, Mailbox] = Expiring(self._now)
        self._ids: Expiring[str, int] = Expiring(self._now)
        self._marks: Expiring[str, Mark] = Expiring(self._now)
        self._closed = ClosedTurns(self._now)
        self._records = Records(self._now)
        self._histories: Expiring[str, dict[str, bytes]] = Expiring(self._now)
        self._journal = Journal(self._now)

    def check(self) -> None:
        pass

    def ping(self) -> None:
        pass

    def close(self) -> None:
        pass

    # --- mailboxes ---
    def offer(self, offers: Sequence[Offer]) -> list[Offered]:
        with self._step():
            return [self._offer(offer) for offer in offers]

    def take_due(self, limit: int, publish_lease: int, again: int) -> Due:
        with self._step() as now:
            taken = [self._take(key, now, publish_lease, again) for key in self._due.due(now, limit)]
            head = self._due.head()
            return Due([check for check in taken if check], max(0, head[0] - now) if head else None)

    def handed_over(self, checks: Sequence[ClaimCheck], again: int) -> list[bool]:
        with self._step() as now:
            return [self._confirm(check, now, again) for check in checks]

    def begin(self, check: ClaimCheck, owner: str, lease: int, grace: int = 0) -> Begun:
        plain(owner)
        with self._step() as now:
            self._mark(check, now)
            box = self._open(check)
            if box is None:
                return self._closed_turn(check)
            held = box.lease if box.owner and box.lease > now else box.hold
            if held > now and box.owner != owner:
                if grace > 0 and box.owner:
                    self._suspect(check.key, box, grace)
                return Begun(verdict="busy", remaining=held - now)
            verdict = box.hand(owner, now, lease)
            self._due.set(check.key, box.lease)
            self._keep(check.key, box)
            return Begun(verdict=verdict, fails=box.fails, lost=box.lost, entries=box.turn)

    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        with self._step() as now:
            return [self._renew(one, now, lease) for one in leases]

    def finish(
        self,
        check: ClaimCheck,
        owner: str,
        outcome: Outcome,
        *,
        value: bytes = b"",
        delay: int = 0,
        result_ttl: int = 3_600_000,
        follow_ups: Sequence[FollowUp] = (),
    ) -> FinishVerdict:
        plain(owner)
        if result_ttl < 1:
            raise ValueError("result_ttl must be positive")
        if strays := {f.key for f in follow_ups if subject(f.key) != subject(check.key)}:
            raise ValueError(f"follow-ups stay with their turn's subject {subject(check.key)!r}: not {sorted(strays)}")
        with self._step() as now:
            box = self._open(check)
            if box is None or box.owner != owner:
                was = self._closed.result(check.key, check.epoch)
                return "settled" if was and was.owner == owner else "refused"
            if outcome == "split" and box.size < 2:
                raise ValueError("a turn of one item cannot be split")
            if outcome in ("retry", "split"):
                (box.split if outcome == "split" else box.back_off)(now + delay)
                self._look(check.key, box, now + delay)
                return "kept"
            self._settle(check, box, Result(outcome, owner, value), result_ttl)
            for item in follow_ups:
                self._append(item.key, digest(item.key, item.item_id), item.body, item.window)
            self._rest(check.key, box, now)
            return "settled"

    def unlock(self, key: str, epoch: int, owner: str) -> bool:
        with self._step() as now:
            box = self._open(ClaimCheck(key, epoch, 0))
            if box is None or box.owner != owner:
                return False
            box.free()
            self._look(key, box, now)
            return True

    def replay(self, key: str, epoch: int, window: Window) -> int:
        with self._step():
            return sum(self._revive(key, epoch, item, window) for item in self._closed.exhume(key, epoch))

    def forget(self, key: str) -> int:
        with self._step():
            box = self._boxes.pop(key)
            items = [*(box.items if box else ()), *self._closed.forget(key)]
            for item in items:
                self._ids.pop(item.digest)
            self._histories.pop(subject(key))
            self._due.drop(key)
            return len(items)

    def inspect(self, key: str) -> MailboxState:
        with self._step() as now:
            box, at = self._boxes.get(key), self._due.time(key)
            if box is None:
                return MailboxState(state="idle", now=now)
            return MailboxState(
                state=box.state(now), epoch=box.epoch, owner=box.owner, size=box.size, buffered=box.waiting,
                fails=box.fails, lost=box.lost, due_in=None if at is None else at - now,
                lease_in=box.lease - now if box.owner else None, hold_in=box.hold - now if box.hold > now else None,
                publications=box.pubs, bytes=box.total_bytes, parts=tuple(box.parts), now=now,
            )  # fmt: skip

    def sleep(self, timeout: float) -> None:
        with self._lock:
            self._lock.wait_for(lambda: self._woken, timeout / 1_000)
            self._woken = False

    def wake(self) -> None:
        with self._step():
            self._wake()

    def woken(self) -> bool:
        """Say whether a pump that sleeps is to wake; who asks is awake. For stores that cannot wait in `sleep`."""
        with self._lock:
            woken, self._woken = self._woken, False
            return woken

    def __getstate__(self) -> dict[str, Any]:
        return {name: part for name, part in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Condition())

    # --- for the sweep ---
    def survey(self) -> list[Survey]:
        with self._step() as now:
            head, running = self._due.head(), sum(1 for box in self._boxes.live().values() if box.owner)
            due_in = head[0] - now if head else None
            return [Survey(open=len(self._due), running=running, dead=self._closed.dead, oldest_due_in=due_in)]

    def mend(self, cursor: str, count: int) -> Mended:
        with self._step() as now:
            # In the order of their names, so that a cursor holds whatever comes and goes.
            boxes = self._boxes.live()
            keys = sorted(key for key in boxes if key > cursor)
            step = keys[:count]
            lost = [key for key in step if self._due.time(key) is None]
            for key in lost:
                self._look(key, boxes[key], now)
            return Mended(step[-1] if len(keys) > count else "", len(step), len(lost))

    def prune_dead(self, age: int, count: int) -> int:
        with self._step():
            return self._closed.prune(age, count)

    # --- standalone records ---
    def claim(self, key: str, owner: str, lease: int, fingerprint: str = "", *, redelivered: bool = False) -> Claim:
        plain(owner, fingerprint)
        with self._step():
            return self._records.claim(key, owner, lease, fingerprint, redelivered)

    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        plain(owner, fingerprint)
        with self._step():
            return self._records.settle(key, owner, fingerprint, value, ttl, value_ttl)

    def release(self, key: str, owner: str) -> bool:
        with self._step():
            return self._records.release(key, owner)

    # --- what was said ---
    def remember(self, subject: str, entry_id: str, entry: bytes, most: int, ttl: int) -> None:
        kept(most, ttl)
        with self._step():
            history = {**(self._histories.get(subject) or {}), entry_id: entry}
            self._histories.put(subject, dict(list(history.items())[-most:]), ttl)

    def recall(self, subject: str) -> list[bytes]:
        with self._step():
            return list((self._histories.get(subject) or {}).values())

    # --- one step, one time ---
    @contextmanager
    def _step(self) -> Iterator[int]:
        """Hold the lock, and one time in ms: as in a script, no time passes within a verb."""
        with self._lock:
            self._us = self._clock()
            yield self._now()

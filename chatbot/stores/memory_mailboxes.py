"""What a store in memory does with one key's mailbox: the steps of which its verbs are made."""

from __future__ import annotations

import threading

from chatbot.stores.closed_turns import Result
from chatbot.stores.keyspace import Expiring
from chatbot.stores.mailbox import Mailbox, Mark
from chatbot.stores.memory_operators import MemoryOperators
from chatbot.stores.records import Records
from chatbot.stores.values import OPEN, Begun, ClaimCheck, Entry, Lease, Offer, Offered, Window, digest


class MemoryMailboxes(MemoryOperators):
    """A part of MemoryStore, which makes what is named here. Every method is called within a step."""

    _lock: threading.Condition
    _woken: bool
    _us: int
    _epoch: int
    _marks: Expiring[str, Mark]
    _records: Records

    def _now(self) -> int:
        return self._us // 1_000

    # --- what becomes of a key ---
    def _look(self, key: str, box: Mailbox, at: int) -> None:
        """Schedule the key, and wake a pump if that is sooner than anything else."""
        self._due.set(key, at)
        self._keep(key, box)
        if self._due.head() == (at, key):
            self._wake()

    def _wake(self) -> None:
        self._woken = True
        self._lock.notify()

    def _keep(self, key: str, box: Mailbox) -> None:
        self._boxes.put(key, box, OPEN)

    def _rest(self, key: str, box: Mailbox, now: int) -> None:
        """Nothing runs: schedule the next window, or drop the key if there is none."""
        at = box.due(now)
        if at is None:
            self._idle(key)
        else:
            self._look(key, box, at)

    def _idle(self, key: str) -> None:
        self._boxes.pop(key)
        self._due.drop(key)

    # --- accepting ---
    def _offer(self, offer: Offer) -> Offered:
        item_id = digest(offer.key, offer.item_id)
        if (seen := self._ids.get(item_id)) is not None:
            return Offered("duplicate", seen)
        if offer.target is not None and (edited := self._edit(offer, item_id, digest(offer.key, offer.target))):
            return edited
        if self._box(offer.key, offer.window).overflows(offer.body, offer.window):
            return Offered("overflow")
        return self._append(offer.key, item_id, offer.body, offer.window, supersede=offer.mode == "supersede")

    def _append(self, key: str, item_id: str, body: bytes, window: Window, *, supersede: bool = False) -> Offered:
        if (seen := self._ids.get(item_id)) is not None:
            return Offered("duplicate", seen)
        box, now = self._box(key, window), self._now()
        verdict = box.append(Entry(now, item_id, body), window, supersede=supersede)
        self._ids.put(item_id, 0, OPEN)
        if box.size:
            self._keep(key, box)
        else:
            self._rest(key, box, now)
        return Offered(verdict)

    def _edit(self, offer: Offer, item_id: str, target: str) -> Offered | None:
        """Edit the target where it still can be; None: it cannot, so the edit is an item of its own."""
        box, withdraw = self._boxes.get(offer.key), offer.mode == "withdraw"
        place = box.find(target) if box else None
        if box is None or place is None:
            return Offered("late") if withdraw else None
        answer = box.withdraw(place) if withdraw else box.amend(place, offer.body, offer.window)
        if answer.verdict == "overflow":
            return answer
        if withdraw:
            self._ids.put(target, -1, box.id_ttl)
        self._ids.put(item_id, -1, OPEN)
        if box.size:
            self._keep(offer.key, box)
        else:
            self._rest(offer.key, box, self._now())
        return answer

    def _revive(self, key: str, epoch: int, item: Entry, window: Window) -> bool:
        if self._ids.get(item.digest) == epoch:
            self._ids.pop(item.digest)
        return self._append(key, item.digest, item.body, window).verdict != "duplicate"

    def _box(self, key: str, window: Window) -> Mailbox:
        return self._boxes.get(key) or Mailbox(window=window)

    # --- publishing and running ---
    def _take(self, key: str, now: int, publish_lease: int, again: int) -> ClaimCheck | None:
        box = self._boxes.get(key)
        mark = self._marks.get(key.partition("/")[0]) or Mark()
        at = box.look(now, again, mark) if box else None
        if box is None or at is None:
            self._idle(key)
            return None
        if at <= now:
            if not box.size:
                self._epoch = max(self._epoch + 1, self._us)
                box.cut(self._epoch)
            box.publish(now)
        self._due.set(key, at if at > now else now + publish_lease)
        self._keep(key, box)
        return None if at > now else ClaimCheck(key, box.epoch, now)

    def _open(self, check: ClaimCheck) -> Mailbox | None:
        """Return the key's state if the check's turn is open."""
        box = self._boxes.get(check.key)
        return box if box and box.size and box.epoch == check.epoch else None

    def _closed_turn(self, check: ClaimCheck) -> Begun:
        result = self._closed.result(check.key, check.epoch)
        if result is None:
            return Begun(verdict="stale")
        return Begun(verdict="done" if result.outcome == "ok" else "buried", value=result.value)

    def _confirm(self, check: ClaimCheck, now: int, again: int) -> bool:
        box = self._open(check)
        # Whoever begins or renews meanwhile clears `pub`; an owner that is still set has lost its lease.
        if box is None or box.pub != -check.stamp:
            return False
        self._due.set(check.key, now + box.confirm(check.stamp, again))
        return True

    def _mark(self, check: ClaimCheck, now: int) -> None:
        mailbox = check.key.partition("/")[0]
        known = self._marks.get(mailbox) or Mark()
        self._marks.put(mailbox, Mark(max(known.stamp, check.stamp), now), OPEN)

    def _suspect(self, key: str, box: Mailbox, grace: int) -> None:
        box.suspect = box.beat + grace
        self._look(key, box, min(box.lease, box.suspect))

    def _renew(self, one: Lease, now: int, lease: int) -> bool:
        if one.kind == "claim":
            return self._records.renew(one.key, one.owner, lease)
        box = self._boxes.get(one.key)
        if box is None or box.owner != one.owner:
            return False
        published = box.pub
        box.renew(now, lease)
        if published:
            # The lease was over: what the confirmation put off is due when it ends again.
            self._due.set(one.key, box.lease)
        return True

    def _settle(self, check: ClaimCheck, box: Mailbox, result: Result, ttl: int) -> None:
        items = box.settle()
        for item in items:
            self._ids.put(item.digest, check.epoch, box.id_ttl)
        self._closed.settle(check.key, check.epoch, items, result, ttl)

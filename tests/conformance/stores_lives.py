"""A ledger's lives as Hypothesis tells them: every verb, by whoever calls it, with answers that get lost; and time that
jumps. The reference judges each answer, and after each step what an operator sees.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from chatbot.stores.values import (
    DAY,
    Begun,
    ClaimCheck,
    FollowUp,
    Lease,
    Offer,
    Offered,
    Window,
    subject,
)
from tests.conformance.ledgers import Ledger
from tests.conformance.stores_reference import (
    AGAIN,
    GRACE,
    LEASE,
    PUBLISH_LEASE,
    ROOM,
    Mailbox,
    Record,
    Run,
)

INBOXES = ["turn/a", "turn/b"]
KEYS = [*INBOXES, "out/a", "out/b"]
NAMES = st.integers(0, 7).map(str)
#: Two deliveries of one call, and one of another.
OWNERS = st.sampled_from(["m1/1", "m1/2", "m2/1"])
OUTCOMES = st.sampled_from(["ok", "dead", "retry", "split"])
#: An answer that gets lost is asked for again.
LOST = st.booleans()
RECORD = "record/r"


def window(wait: int = 20_000) -> Window:
    return Window(wait=wait, max_wait=100_000 if wait else 0, max_items=3, id_ttl=30 * DAY, max_buffered=ROOM)


class Lives(RuleBasedStateMachine):
    """One ledger, and the reference that follows it."""

    publications: Bundle[ClaimCheck] = Bundle("publications")
    runs: Bundle[Run] = Bundle("runs")

    def __init__(self, create: Callable[[], Ledger]) -> None:
        super().__init__()
        self.ledger = create()
        self.store = self.ledger.store
        self.boxes = {key: Mailbox() for key in KEYS}
        self.record = Record()
        self.names = 0

    def now(self) -> int:
        return self.ledger.now()

    @initialize(target=publications)
    def begin_in_the_middle(self) -> Any:
        """Every story begins with a turn in each inbox, one of which has something waiting behind it."""
        for key in INBOXES:
            self.offer(key, ["0"], 0, "queue", False)
        checks = self.take_due()
        self.offer(INBOXES[0], ["1"], 0, "queue", False)
        return checks

    # --- web ---
    @rule(
        key=st.sampled_from(INBOXES), names=st.lists(NAMES, min_size=1, max_size=3), wait=st.sampled_from([0, 20_000]),
        mode=st.sampled_from(["queue", "queue", "supersede"]), lost=LOST,
    )  # fmt: skip
    def offer(self, key: str, names: list[str], wait: int, mode: Any, lost: bool) -> None:
        offers = [Offer(key=key, item_id=n, body=f"body {n}".encode(), window=window(wait), mode=mode) for n in names]
        for _ in range(1 + lost):
            for offer, answer in zip(offers, self.store.offer(offers), strict=True):
                self.boxes[key].offered(offer, answer)
        if mode == "supersede" and self.boxes[key].epoch and not self.store.inspect(key).size:
            self.boxes[key].dissolve()

    @rule(key=st.sampled_from(INBOXES), name=NAMES, of=NAMES, mode=st.sampled_from(["amend", "withdraw"]), lost=LOST)
    def edit(self, key: str, name: str, of: str, mode: Any, lost: bool) -> None:
        body = f"edited by {name}".encode()
        edit = Offer(key=key, item_id=f"e{name}", body=body, window=window(), mode=mode, target=of)
        for _ in range(1 + lost):
            before = self.store.inspect(key)
            self.boxes[key].edited(edit, self.store.offer([edit])[0], before)

    # --- pumps ---
    @rule(target=publications)
    def take_due(self) -> Any:
        checks = self.store.take_due(100, PUBLISH_LEASE, AGAIN).checks
        for check in checks:
            self.boxes[check.key].published(check, self.now())
        return multiple(*checks)

    @rule(check=publications, lost=LOST)
    def hand_over(self, check: ClaimCheck, lost: bool) -> None:
        for _ in range(1 + lost):
            self.boxes[check.key].handed_over(check, self.store.handed_over([check], AGAIN)[0])

    # --- workers ---
    @rule(target=runs, check=publications, redelivered=st.booleans(), lost=LOST)
    def begin(self, check: ClaimCheck, redelivered: bool, lost: bool) -> Any:
        self.names += 1
        owner, box = f"message/{self.names}", self.boxes[check.key]
        begun = self.store.begin(check, owner, LEASE, GRACE if redelivered else 0)
        run = box.begun(check, owner, begun, self.now(), redelivered)
        if run and lost:
            self._begin_again(run, begun)
        return run if run else multiple()

    def _begin_again(self, run: Run, first: Begun) -> None:
        again = self.store.begin(run.check, run.owner, LEASE)
        assert (again.verdict, again.entries) == ("mine", first.entries)
        self.boxes[run.check.key].hold(run.owner, self.now())

    @rule(target=runs, run=runs)
    def oversleep(self, run: Run) -> Any:
        """A worker stalls for longer than its lease, and another one gets a copy; the first goes on as a zombie."""
        self.ledger.advance(LEASE)
        return self.begin(run.check, False, False)

    @rule(target=publications, run=runs)
    def fall_silent(self, run: Run) -> Any:
        """A worker is gone, as the broker knows: its message comes again at once, and a pump looks after the grace."""
        self.begin(run.check, True, False)
        self.ledger.advance(GRACE)
        return self.take_due()

    @rule(run=runs)
    def renew(self, run: Run) -> None:
        box = self.boxes[run.check.key]
        held = self.store.renew([Lease("turn", run.check.key, run.owner)], LEASE)[0]
        assert held == (box.owner == run.owner)
        if held:
            box.hold(run.owner, self.now())

    @rule(
        run=runs,
        outcome=st.sampled_from(["ok", "dead", "retry", "split"]),
        delay=st.sampled_from([0, 30_000]),
        lost=LOST,
    )
    def finish(self, run: Run, outcome: Any, delay: int, lost: bool) -> None:
        key, epoch = run.check.key, run.check.epoch
        box = self.boxes[key]
        if outcome == "split" and len(box.members.get(epoch, [])) < 2:
            outcome = "retry"
        reply = self._reply(key, epoch) if outcome == "ok" else []
        for _ in range(1 + lost):
            answer = self.store.finish(
                run.check, run.owner, outcome, delay=delay, follow_ups=reply, result_ttl=30 * DAY
            )  # fmt: skip
            if box.finished(run, outcome, answer, delay, self.now()) and answer == "settled" and reply:
                self.boxes[reply[0].key].offered(_as_offer(reply[0]), Offered("opened"))

    def _reply(self, key: str, epoch: int) -> list[FollowUp]:
        """An inbox's turn leaves a reply."""
        if key not in INBOXES or len(self.boxes[f"out/{subject(key)}"].open) >= ROOM:
            return []
        name = f"{epoch}:0"
        return [FollowUp(key=f"out/{subject(key)}", item_id=name, body=name.encode(), window=window(0))]

    # --- operators ---
    @rule(key=st.sampled_from(KEYS), lost=LOST)
    def unlock(self, key: str, lost: bool) -> None:
        box, seen = self.boxes[key], self.store.inspect(key)
        assert not self.store.unlock(key, seen.epoch, "somebody else")
        if box.owner:
            for first in [True, False][: 1 + lost]:
                assert self.store.unlock(key, seen.epoch, seen.owner) == first
            box.free()

    @precondition(lambda self: any(box.buried for box in self.boxes.values()))
    @rule(data=st.data(), lost=LOST)
    def replay(self, data: st.DataObject, lost: bool) -> None:
        graves = [(key, epoch) for key, box in self.boxes.items() for epoch in sorted(box.buried)]
        key, epoch = data.draw(st.sampled_from(graves))
        self.boxes[key].replayed(epoch, self.store.replay(key, epoch, window()))
        if lost:
            assert self.store.replay(key, epoch, window()) == 0

    @precondition(lambda self: self.names % 3 == 2)
    @rule(key=st.sampled_from(INBOXES), lost=LOST)
    def forget(self, key: str, lost: bool) -> None:
        self.boxes[key].forgotten(self.store.forget(key))
        if lost:
            assert self.store.forget(key) == 0

    # --- standalone records ---
    @rule(owner=OWNERS, fingerprint=st.sampled_from(["", "", "f"]), redelivered=st.booleans(), lost=LOST)
    def claim(self, owner: str, fingerprint: str, redelivered: bool, lost: bool) -> None:
        for _ in range(1 + lost):
            answer = self.store.claim(RECORD, owner, LEASE, fingerprint, redelivered=redelivered)
            self.record.claimed(owner, fingerprint, answer, self.now(), redelivered)

    @rule(owner=OWNERS, lost=LOST)
    def settle(self, owner: str, lost: bool) -> None:
        record = self.record
        if not record.expire(self.now()):
            return
        for attempt in range(1 + lost):
            mine = f"{owner} {attempt}".encode()
            value = self.store.settle(RECORD, owner, record.fingerprint, mine, DAY, DAY)
            if record.state and record.owner != owner:
                assert value is None
                continue
            if record.state != "D":
                record.state, record.owner, record.value, record.ends = "D", owner, mine, self.now() + DAY
            assert value == record.value

    @rule(owner=OWNERS, lost=LOST)
    def release(self, owner: str, lost: bool) -> None:
        if not self.record.expire(self.now()):
            return
        for _ in range(1 + lost):
            mine = self.record.state == "P" and self.record.owner == owner
            assert self.store.release(RECORD, owner) == mine
            self.record.state = "" if mine else self.record.state

    # --- time, and what always holds ---
    @rule(ms=st.sampled_from([5_000, 10_000, 30_000, 120_000]))
    def advance(self, ms: int) -> None:
        self.ledger.advance(ms)

    @invariant()
    def holds(self) -> None:
        for key, box in self.boxes.items():
            box.seen(self.store.inspect(key))
        assert self.ledger.immortal() == []

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._drain()
        finally:
            self.ledger.close()

    def _drain(self) -> None:
        """I2: without further faults, all that is open completes."""
        for _ in range(100):
            if not any(box.open for box in self.boxes.values()):
                return
            self.ledger.advance(60_000)
            for check in self.store.take_due(100, PUBLISH_LEASE, AGAIN).checks:
                self.boxes[check.key].published(check, self.now())
                run = self.begin(check, False, False)
                if isinstance(run, Run):
                    self.finish(run, "ok", 0, False)
            self.holds()
        raise AssertionError(f"stranded: {self.boxes}")


def _as_offer(item: FollowUp) -> Offer:
    return Offer(key=item.key, item_id=item.item_id, body=item.body, window=item.window)

"""What must hold of a ledger, as plain as it can be said: a reference that follows every answer, and judges it.

It knows what was accepted, which turn is open, who owns it and until when, and what became of the rest; of time it only
knows what is certain. The letters are the invariants of the design: I2 nothing accepted is lost, I3 an item is in at
most one turn, I4 a turn settles once, I5 one run at a time and in order of arrival, I9 nothing outlives its time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from chatbot.stores.values import Begun, ClaimCheck, MailboxState, Offer, Offered

LEASE, GRACE, PUBLISH_LEASE, AGAIN = 20_000, 5_000, 5_000, 30_000
#: Items that a key may hold.
ROOM = 6
#: ms. All durations are multiples of 5 s: what is less than this apart from a limit may be on either side of it.
BLUR = 2_000


@dataclass
class Item:
    name: str
    body: str


@dataclass(frozen=True)
class Run:
    """A worker that was told to run a turn."""

    check: ClaimCheck
    owner: str


@dataclass
class Mailbox:
    """One key, as it must be."""

    open: list[Item] = field(default_factory=list)
    #: Of every id that is remembered: 0 = open, -1 = an edit or withdrawn, else the epoch that settled it.
    known: dict[str, int] = field(default_factory=dict)
    #: The open turn; 0 = none.
    epoch: int = 0
    newest: int = 0
    owner: str = ""
    lease_ends: int = 0
    suspect_at: int | None = None
    hold_ends: int = 0
    #: The stamp of the publication that was not confirmed yet; 0 = none.
    pending: int = 0
    members: dict[int, list[str]] = field(default_factory=dict)
    #: Per settled turn, how and by whom.
    ended: dict[int, tuple[str, str]] = field(default_factory=dict)
    buried: dict[int, list[Item]] = field(default_factory=dict)

    @property
    def bodies(self) -> list[str]:
        return [item.body for item in self.open]

    # --- accepting ---
    def offered(self, offer: Offer, answer: Offered) -> None:
        """I3: an id that is known is a duplicate; one that is not is appended, or overflows."""
        name = offer.item_id
        if name in self.known:
            assert answer == Offered("duplicate", self.known[name])
        elif answer.verdict == "overflow":
            assert len(self.open) >= ROOM, "refused although there was room"
        else:
            assert answer.verdict in ("opened", "joined", "full"), answer
            assert len(self.open) < ROOM, "accepted although there was no room"
            self.open.append(Item(name, offer.body.decode()))
            self.known[name] = 0

    def edited(self, offer: Offer, answer: Offered, before: MailboxState) -> None:
        """An item is edited where it waits, and nowhere else."""
        name, body = offer.item_id, offer.body.decode()
        behind = self.open[before.size + sum(before.parts) :]
        found = next((item for item in behind if item.name == offer.target), None)
        if name in self.known or (found is None and offer.mode == "amend"):
            self.offered(offer, answer)
        elif found is None:
            assert answer.verdict == "late"
        else:
            assert answer.verdict == ("amended" if offer.mode == "amend" else "withdrawn")
            self.known[name] = -1
            found.body = body
            if offer.mode == "withdraw":
                self.open.remove(found)
                self.known[found.name] = -1

    # --- publishing ---
    def published(self, check: ClaimCheck, now: int) -> None:
        """I5: no new turn over an open one, and no copy of one that is held for certain."""
        if check.epoch != self.epoch:
            assert not self.epoch, "a new turn over an open one"
            assert check.epoch > self.newest, "an epoch was used before"
            self.epoch = self.newest = check.epoch
        elif self.owner:
            ends = min(self.lease_ends, self.lease_ends if self.suspect_at is None else self.suspect_at)
            assert ends <= now + BLUR, "a held turn was published"
            self.lease_ends = min(self.lease_ends, now - BLUR)  # it is over for certain: the publication ended it
        self.pending, self.suspect_at = check.stamp, None

    def handed_over(self, check: ClaimCheck, answer: bool) -> None:
        assert answer == (bool(self.epoch) and (check.epoch, check.stamp) == (self.epoch, self.pending))
        self.pending = 0 if answer else self.pending

    # --- running ---
    def begun(self, check: ClaimCheck, owner: str, answer: Begun, now: int, redelivered: bool) -> Run | None:
        """I5: one run at a time, of the oldest items. I4: with the same members every time."""
        if not self.epoch or check.epoch != self.epoch:
            how = self.ended.get(check.epoch, ("", ""))[0]
            assert answer.verdict == {"ok": "done", "dead": "buried", "": "stale"}[how]
            return None
        if answer.verdict == "busy":
            held = self.owner and self.lease_ends > now - BLUR
            assert held or self.hold_ends > now - BLUR, "busy although nobody holds it"
            if held and redelivered:
                self.suspect_at = self.lease_ends - LEASE + GRACE
            return None
        assert answer.verdict == ("taken" if self.owner else "new")
        assert not self.owner or self.lease_ends <= now + BLUR, "two workers hold one key"
        assert self.hold_ends <= now + BLUR, "begun during its back-off"
        self.same_members(check.epoch, answer)
        self.hold(owner, now)
        return Run(check, owner)

    def same_members(self, epoch: int, answer: Begun) -> None:
        bodies = [entry.body.decode() for entry in answer.entries]
        assert bodies == self.bodies[: len(bodies)], "not the oldest items, in their order"
        assert self.members.setdefault(epoch, bodies) == bodies, "one turn, two sets of members"

    def hold(self, owner: str, now: int) -> None:
        self.owner, self.lease_ends, self.suspect_at, self.pending = owner, now + LEASE, None, 0

    def free(self, hold_ends: int = 0) -> None:
        self.owner, self.lease_ends, self.suspect_at, self.pending, self.hold_ends = "", 0, None, 0, hold_ends

    def dissolve(self, hold_ends: int | None = None) -> None:
        self.epoch = 0
        self.free(self.hold_ends if hold_ends is None else hold_ends)

    # --- ending ---
    def finished(self, run: Run, outcome: str, answer: str, delay: int, now: int) -> bool:
        """I4: only the owner ends a turn, and only once. Returns whether it did so now."""
        epoch = run.check.epoch
        if self.epoch != epoch or self.owner != run.owner:
            mine = self.ended.get(epoch, ("", ""))[1] == run.owner
            assert answer == ("settled" if mine else "refused")
            return False
        assert answer == ("settled" if outcome in ("ok", "dead") else "kept")
        if outcome == "retry":
            self.free(now + delay)
        elif outcome == "split":
            self.dissolve(now + delay)
        else:
            self.settled(epoch, outcome, run.owner)
        return True

    def settled(self, epoch: int, outcome: str, owner: str) -> None:
        """I2, I5: what is settled is what was the oldest."""
        members = self.open[: len(self.members[epoch])]
        del self.open[: len(members)]
        self.known |= {item.name: epoch for item in members}
        self.ended[epoch] = (outcome, owner)
        if outcome == "dead":
            self.buried[epoch] = members
        self.dissolve(hold_ends=0)

    # --- operators ---
    def replayed(self, epoch: int, answer: int) -> None:
        """A resend that came first is the item's one life: what is known anew is not replayed."""
        back = [item for item in self.buried.pop(epoch) if self.known[item.name] == epoch]
        assert answer == len(back)
        self.open += back
        self.known |= {item.name: 0 for item in back}

    def forgotten(self, answer: int) -> None:
        gone = [*self.open, *(item for items in self.buried.values() for item in items)]
        assert answer == len(gone)
        for item in gone:
            self.known.pop(item.name, None)
        self.open, self.members, self.ended, self.buried = [], {}, {}, {}
        self.dissolve(hold_ends=0)

    def seen(self, state: MailboxState) -> None:
        """I2: what is open is what was accepted and neither settled nor withdrawn. I9: an idle key has nothing left."""
        assert state.size + state.buffered == len(self.open), (state, self.bodies)
        assert (state.state == "idle") == (state.due_in is None) == (not self.open), (state, self.bodies)
        assert state.owner == self.owner, (state, self.owner)
        assert (state.size > 0) == (self.epoch > 0), (state, self.epoch)


@dataclass
class Record:
    """A standalone record, as it must be."""

    state: str = ""
    owner: str = ""
    fingerprint: str = ""
    value: bytes = b""
    ends: int = 0

    def expire(self, now: int) -> bool:
        """Forget what has certainly expired; say whether it is certain what there is."""
        if self.state and self.ends <= now - BLUR:
            self.state = ""
        return not self.state or self.ends > now + BLUR

    def claimed(self, owner: str, fingerprint: str, answer: Any, now: int, redelivered: bool) -> None:
        if not self.expire(now):
            self.state = "" if answer.verdict == "new" else self.state
        if not self.state:
            assert answer.verdict == "new"
            self.state, self.owner, self.fingerprint, self.ends = "P", owner, fingerprint, now + LEASE
        elif self.fingerprint != fingerprint:
            assert answer.verdict == "mismatch"
        elif self.owner == owner:
            assert answer.verdict == "mine"
            self.ends = now + LEASE if self.state == "P" else self.ends
        elif self.state == "D":
            assert (answer.verdict, answer.value, answer.owner) == ("done", self.value, self.owner)
        else:
            suspected = redelivered and self.owner.partition("/")[0] == owner.partition("/")[0]
            ends = self.ends - LEASE // 2 if suspected else self.ends
            if answer.verdict == "new":
                assert suspected
                assert now >= ends - BLUR
                self.owner, self.ends = owner, now + LEASE
            else:
                assert (answer.verdict, answer.owner) == ("busy", self.owner)
                assert now <= ends + BLUR

"""One key of the ledger, in memory: its unsettled items in order, of which the first `size` are the open turn.

Taking, keeping, dissolving and settling a turn only move `size` or trim the head, so an item is in exactly one place.
Nothing here knows other keys, remembered ids, or what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chatbot.stores.values import (
    MOST_ITEMS,
    BeginVerdict,
    Entry,
    Offered,
    OfferVerdict,
    Window,
)

#: However old a publication is: how late a turn that merely waits in a backlog is looked at again, at most.
LONGEST_BACKLOG = 600_000
#: However often a turn was published: how late its publication is suspected of being lost, at most.
LONGEST_SUSPICION = 3_600_000


@dataclass(slots=True)
class Mark:
    """How far a mailbox's deliveries have come: the newest stamp delivered, and when the last delivery was."""

    stamp: int = 0
    last: int = 0


@dataclass(slots=True)
class Mailbox:
    """The state of a key that is not idle; field for field that of the protocol."""

    window: Window
    id_ttl: int = 0
    items: list[Entry] = field(default_factory=list)
    size: int = 0
    epoch: int = 0
    owner: str = ""
    lease: int = 0
    beat: int = 0
    suspect: int = 0
    hold: int = 0
    fails: int = 0
    lost: int = 0
    pubs: int = 0
    pub: int = 0
    total_bytes: int = 0
    turn_bytes: int = 0
    urgent: bool = False
    parts: list[int] = field(default_factory=list)

    # --- what stands where ---
    @property
    def turn(self) -> tuple[Entry, ...]:
        """The members of the open turn."""
        return tuple(self.items[: self.size])

    @property
    def waiting(self) -> int:
        """How many items are behind the turn."""
        return len(self.items) - self.size

    @property
    def most(self) -> int:
        """How many items the next turn may have."""
        return min(self.window.max_items, MOST_ITEMS)

    @property
    def ripe(self) -> bool:
        """Whether the window need not wait: it bisects, is urgent, or is full."""
        full = self.waiting >= self.most or self.total_bytes - self.turn_bytes >= self.window.max_bytes
        return bool(self.parts) or self.urgent or full

    def due(self, now: int) -> int | None:
        """Return when the window must be taken; None if nothing is behind the turn."""
        if not self.waiting:
            return None
        if self.hold > now:
            return self.hold
        if self.ripe:
            return now
        first, last = self.items[self.size], self.items[-1]
        return min(last.arrived + self.window.wait, first.arrived + self.window.max_wait)

    def look(self, now: int, again: int, mark: Mark) -> int | None:
        """Return when to look again; not later than now: there is something to publish; None: the key is idle."""
        if not self.size:
            return self.due(now)
        ends = min(self.lease, self.suspect) if self.suspect else self.lease
        if self.owner and ends > now:
            return ends
        if self.hold > now:
            return self.hold
        overtaken = mark.stamp >= self.pub + again / 2
        if self.pub > 0 and not overtaken and now - mark.last < again:
            return now + min(max(again, now - self.pub), LONGEST_BACKLOG)
        return now

    def state(self, now: int) -> str:
        """Return the state's name, as an operator reads it."""
        if not self.size:
            return "accumulating"
        if self.owner:
            return "running"
        if self.hold > now:
            return "backing off"
        return "handed over" if self.pub > 0 else "taken"

    # --- what arrives ---
    def overflows(self, body: bytes, window: Window) -> bool:
        """Whether one more item is too much for the turn and the window together."""
        return len(self.items) >= window.max_buffered or self.total_bytes + len(body) > window.max_buffered_bytes

    def append(self, entry: Entry, window: Window, *, supersede: bool = False) -> OfferVerdict:
        """Add an item and take over its policy. Superseding, a turn that has begun is accumulated anew, but only until
        `max_wait` after its first item: a chatty user must not starve the run."""
        if supersede and self.size and not self.parts and entry.arrived < self.items[0].arrived + window.max_wait:
            self.dissolve()
        self.items.append(entry)
        self.total_bytes += len(entry.body)
        self.window, self.id_ttl = window, max(self.id_ttl, window.id_ttl)
        self.urgent = self.urgent or window.wait == 0
        if self.waiting == 1:
            return "opened"
        return "full" if self.ripe and self.hold <= entry.arrived else "joined"

    def find(self, target: str) -> int | None:
        """Return the place of an item that can still be edited: behind the turn and the parts that wait."""
        start = self.size + sum(self.parts)
        return next((i for i, item in enumerate(self.items[start:], start) if item.digest == target), None)

    def amend(self, place: int, body: bytes, window: Window) -> Offered:
        """Replace an item's body. Its arrival and place stay, so the quiet wait does not start again."""
        old = self.items[place]
        grow = len(body) - len(old.body)
        if grow > 0 and self.total_bytes + grow > window.max_buffered_bytes:
            return Offered("overflow")
        self.items[place] = Entry(old.arrived, old.digest, body)
        self.total_bytes += grow
        return Offered("amended")

    def withdraw(self, place: int) -> Offered:
        """Take an item out of the window."""
        self.total_bytes -= len(self.items.pop(place).body)
        self.urgent = self.urgent and bool(self.waiting)
        return Offered("withdrawn")

    # --- the turn ---
    def cut(self, epoch: int) -> None:
        """Freeze the head of the window: the next part, or what the policy allows; by bytes fewer, but never none."""
        part = self.parts.pop(0) if self.parts else 0
        self.size = self._fitting(min(len(self.items), part or self.most))
        if self.size < part:
            # What a policy that has shrunk meanwhile leaves of a part must not merge with later arrivals.
            self.parts.insert(0, part - self.size)
        self.turn_bytes = sum(len(item.body) for item in self.turn)
        self.urgent = self.urgent and self.waiting > 0
        self.epoch, self.pubs, self.hold = epoch, 0, 0

    def _fitting(self, most: int) -> int:
        size = 0
        for i, item in enumerate(self.items[:most]):
            size += len(item.body)
            if i and size > self.window.max_bytes:
                return i
        return most

    def publish(self, now: int) -> None:
        """Note a publication that the broker has not confirmed. A suspect's lease ends here."""
        self.pub, self.lease, self.suspect = -now, min(self.lease, now), 0

    def confirm(self, stamp: int, again: int) -> int:
        """Note that the broker has the publication, and return after how long it is suspected of being lost."""
        self.pub, self.pubs = stamp, self.pubs + 1
        # The number of publications is unbounded over 30 days, the shift must not be.
        return min(again << min(self.pubs - 1, 32), LONGEST_SUSPICION)

    def hand(self, owner: str, now: int, lease: int) -> BeginVerdict:
        """Give the turn to a delivery, and say what that is to it. Taken from an owner, its run is lost."""
        verdict: BeginVerdict = "mine" if owner == self.owner else "taken" if self.owner else "new"
        self.lost += verdict == "taken"
        self.owner, self.pubs = owner, 0
        self.renew(now, lease)
        return verdict

    def renew(self, now: int, lease: int) -> None:
        """Prolong the owner's lease, which clears every suspicion, and outdates every publication."""
        self.lease, self.beat, self.suspect, self.pub = now + lease, now, 0, 0

    def back_off(self, until: int) -> None:
        """Keep the turn, its epoch and its members for a later attempt."""
        self.owner, self.lease, self.suspect, self.pubs, self.pub = "", 0, 0, 0, 0
        self.fails += 1
        self.hold = until

    def split(self, until: int) -> None:
        """Bisect the turn: its halves follow each other, each with fresh attempts."""
        half = self.size // 2
        self.parts[:0] = [half, self.size - half]
        self.dissolve()
        self.hold = until

    def free(self) -> None:
        """Take the turn from its owner, who may have had an effect."""
        self.lost += 1 if self.owner else 0
        self.owner, self.lease, self.suspect, self.hold, self.pub = "", 0, 0, 0, 0

    def settle(self) -> tuple[Entry, ...]:
        """Trim the turn and return its members."""
        members = self.turn
        del self.items[: self.size]
        self.total_bytes -= self.turn_bytes
        self.hold = 0
        self.dissolve()
        return members

    def dissolve(self) -> None:
        """End the turn; its items stay where they are, and the next take gives them a new epoch."""
        self.size = self.turn_bytes = self.fails = self.lost = self.pubs = self.pub = self.lease = self.suspect = 0
        self.owner = ""

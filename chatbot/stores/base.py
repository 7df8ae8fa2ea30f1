"""The ledger's verbs, as every store implements them.

The store holds the truth about every accepted call; the broker only carries claim checks. Each verb is atomic, uses
the store's own clock, and may be sent twice: a lost answer is repaired by asking again. `docs/architecture.md` tells
the protocol; durations are in ms, sizes in bytes, epochs in us.
"""

from __future__ import annotations

import binascii
import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from msgspec import Struct

from chatbot.stores.operators import Operators

DAY = 86_400_000
#: Open work lives this long after its last touch.
OPEN = 30 * DAY
#: No turn has more members, whatever its policy says: a script blocks the server while it walks them.
MOST_ITEMS = 1_000

Mode = Literal["queue", "supersede", "amend", "withdraw"]
OfferVerdict = Literal["opened", "joined", "full", "amended", "withdrawn", "late", "overflow", "duplicate"]
BeginVerdict = Literal["new", "mine", "taken", "busy", "done", "buried", "stale"]
Outcome = Literal["ok", "dead", "retry", "split"]
FinishVerdict = Literal["settled", "kept", "refused"]
ClaimVerdict = Literal["new", "mine", "busy", "done", "mismatch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """When a key's open window is due, how much it may hold, and for how long its ids are remembered."""

    wait: int
    max_wait: int
    max_items: int = 50
    max_bytes: int = 65_536
    id_ttl: int = DAY
    max_buffered: int = 1_000
    max_buffered_bytes: int = 1_048_576

    def __post_init__(self) -> None:
        if self.wait < 0 or self.max_wait < self.wait:
            raise ValueError("wait must be at least 0, and max_wait at least wait")
        if min(self.max_items, self.max_bytes, self.id_ttl, self.max_buffered, self.max_buffered_bytes) < 1:
            raise ValueError("max_items, max_bytes, id_ttl, max_buffered and max_buffered_bytes must be positive")


class Offer(Struct, frozen=True, kw_only=True):
    """One call that wants to join its key's window. `amend` and `withdraw` name the item they are about as `target`;
    an edit has an id of its own."""

    key: str
    item_id: str
    body: bytes
    window: Window
    mode: Mode = "queue"
    target: str | None = None

    def __post_init__(self) -> None:
        if (self.target is not None) != (self.mode in ("amend", "withdraw")):
            raise ValueError(
                f"mode {self.mode!r} with target {self.target!r}: amend and withdraw have one, others none"
            )


class Offered(NamedTuple):
    """What became of an offer. `epoch` is of a duplicate: 0 while its original is open, -1 for an edit or a withdrawn
    item, else the epoch of the turn that settled it."""

    verdict: OfferVerdict
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """What the broker carries for a turn: which key, which turn (epoch, us) and which publication (stamp, ms)."""

    key: str
    epoch: int
    stamp: int


@dataclass(frozen=True, slots=True)
class Due:
    """Turns to publish now, and in how many ms to look again (None: nothing is scheduled)."""

    checks: list[ClaimCheck]
    next_look: int | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One item of a turn: when it arrived (ms, store's clock), the digest of its id, and its body."""

    arrived: int
    digest: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What `begin` says. `new`, `mine` and `taken` run the entries; `busy` knows how long (`remaining`, ms); `done`
    has the turn's value, `buried` its reason."""

    verdict: BeginVerdict
    fails: int = 0
    lost: int = 0
    entries: tuple[Entry, ...] = ()
    remaining: int = 0
    value: bytes = b""


class Lease(NamedTuple):
    """A turn's lease (kind `turn`, key) or a record's (kind `claim`, record key), and who says to hold it."""

    kind: Literal["turn", "claim"]
    key: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """An item that a turn leaves in another mailbox of the same subject, in the same step as its settlement."""

    key: str
    item_id: str
    body: bytes
    window: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a standalone record says: `busy` for how long (`remaining`, ms) and whose; `done` with which value."""

    verdict: ClaimVerdict
    remaining: int = 0
    owner: str = ""
    value: bytes = b""


class Wanted(NamedTuple):
    """What `claim` is asked, for many records at a time."""

    key: str
    owner: str
    lease: int
    fingerprint: str = ""
    redelivered: bool = False


class Settling(NamedTuple):
    """What `settle` is told, of many records at a time."""

    key: str
    owner: str
    fingerprint: str
    value: bytes
    ttl: int
    value_ttl: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxState:
    """One key as an operator sees it. `state` is idle, accumulating, taken, handed over, running or backing off.

    `due_in`: in how many ms a pump looks at it; `lease_in` and `hold_in`: for how many ms more the owner's lease and
    the back-off last. `parts`: sizes of what waits of a bisected turn. `now` is the store's time in ms.
    """

    state: str
    epoch: int = 0
    owner: str = ""
    size: int = 0
    buffered: int = 0
    fails: int = 0
    lost: int = 0
    due_in: int | None = None
    lease_in: int | None = None
    hold_in: int | None = None
    publications: int = 0
    bytes: int = 0
    parts: tuple[int, ...] = ()
    now: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is open in one partition: keys that are not idle (`open`), turns that run, dead letters, and in how many ms
    the first key must be looked at (negative: it is overdue; None: nothing is open)."""

    open: int
    running: int
    dead: int
    oldest_due_in: int | None = None


@dataclass(frozen=True, slots=True)
class Mended:
    """One step of `mend`: where the next begins (empty: this was the last), states seen, and states put right."""

    cursor: str
    seen: int
    mended: int


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def digest(key: str, item_id: str) -> str:
    """Return the 16 characters that stand for an item's id in the store: 96 bits of BLAKE2b over key and id."""
    raw = hashlib.blake2b(f"{key}\0{item_id}".encode(), digest_size=12).digest()
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).decode()


def subject(key: str) -> str:
    """Return what picks a key's partition: of a mailbox key (`<mailbox>/<subject>`) its subject, else all of it."""
    _, slash, found = key.partition("/")
    return found if slash else key


def grace(lease: int) -> int:
    """Return for how long (ms) after its last renewal the owner of a record keeps it, even if suspected: half the
    lease. Who lives renews it several times in that."""
    return lease // 2


def plain(owner: str, fingerprint: str = "") -> None:
    """Raise ValueError unless there is an owner, and both are text without the characters that part a record's
    fields."""
    if not owner:
        raise ValueError("an owner has a name: nobody's turn would be everybody's")
    for field in (owner, fingerprint):
        if "|" in field or "\n" in field:
            raise ValueError(f"{field!r} must hold neither a bar nor a line end")
        field.isascii() or field.encode()  # half of a surrogate pair could be in no store


def kept(most: int, ttl: int) -> None:
    """Raise ValueError unless a history keeps something for some time."""
    if min(most, ttl) < 1:
        raise ValueError("a history keeps at least one entry, for at least 1 ms")


class Store(Operators):
    """The ledger. Every verb raises StoreUnavailable when the answer is unknown; asking again is always safe."""

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigurationError unless the store can be trusted with the ledger; called once at start."""

    @abstractmethod
    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers."""

    # --- mailboxes ---
    @abstractmethod
    def offer(self, offers: Sequence[Offer]) -> list[Offered]:
        """Append each call to its key's window, unless its id is known or the buffer is full."""

    @abstractmethod
    def take_due(self, limit: int, publish_lease: int, again: int) -> Due:
        """Freeze the windows that are due into turns, and return every turn that needs a publication now.

        A turn that is not handed over within `publish_lease` is returned again; one that was handed over is
        suspected of being lost after `again`, then twice as late each time.
        """

    @abstractmethod
    def handed_over(self, checks: Sequence[ClaimCheck], again: int) -> list[bool]:
        """Note that the broker confirmed these publications. False: it no longer matters."""

    @abstractmethod
    def begin(self, check: ClaimCheck, owner: str, lease: int, grace: int = 0) -> Begun:
        """Claim a turn for one delivery of its message, and get its items.

        `grace` > 0 says that the broker itself redelivered this copy: if the turn is busy, its owner is suspected
        and loses the lease `grace` after its last renewal.
        """

    @abstractmethod
    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        """Prolong leases. False: it is lost, and its run must have no further effect."""

    @abstractmethod
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
        """End a run: `ok` and `dead` settle the turn (with its follow-ups, in one step), `retry` keeps it for `delay`,
        `split` bisects it. `refused`: somebody else holds it, so everything of this run is void."""

    @abstractmethod
    def unlock(self, key: str, epoch: int, owner: str) -> bool:
        """Take a turn from its owner, if both are what the operator saw."""

    @abstractmethod
    def replay(self, key: str, epoch: int, window: Window) -> int:
        """Offer the items of a buried turn again; return how many are open again."""

    @abstractmethod
    def forget(self, key: str) -> int:
        """Erase what is open or buried under a key and its results; return how many items that were."""

    @abstractmethod
    def inspect(self, key: str) -> MailboxState:
        """Show a key to an operator. Reads only."""

    @abstractmethod
    def sleep(self, timeout: float) -> None:
        """Return when a window may be due earlier than thought, or after `timeout` ms; one of all that sleep does."""

    @abstractmethod
    def wake(self) -> None:
        """Let one that sleeps return: who goes away after its own sleep may have taken what was meant for another."""

    # --- for the sweep: bounded steps, never on the way of a message ---
    @abstractmethod
    def survey(self) -> list[Survey]:
        """Count what is open, per partition. Reads only."""

    @abstractmethod
    def mend(self, cursor: str, count: int) -> Mended:
        """Go on from a cursor (empty: begin), look at about `count` keys, and schedule every key whose state nothing
        would look at again. A key that was there from begin to end of a pass is seen."""

    @abstractmethod
    def prune_dead(self, age: int, count: int) -> int:
        """Drop dead letters that were buried `age` ms ago or earlier, at most `count` in each partition, and return how
        many those were. Their turns stay settled."""

    # --- standalone records ---
    @abstractmethod
    def claim(self, key: str, owner: str, lease: int, fingerprint: str = "", *, redelivered: bool = False) -> Claim:
        """Take the record, or learn who has it and what it holds.

        `redelivered` says that the broker gave up on an earlier delivery of this call. If the owner is another delivery
        of the same call (what stands before the `/`), it is suspected: it has the record only for the `grace` of its
        own lease after its last renewal, and `remaining` ends there.
        """

    def claim_many(self, wanted: Sequence[Wanted]) -> list[Claim | Exception]:
        """Take several records; a store at the other end of a network does it in one round trip. Return for each what
        `claim` would return, or raise, alone."""
        return [self._claim_one(one) for one in wanted]

    def _claim_one(self, wanted: Wanted) -> Claim | Exception:
        try:
            return self.claim(
                wanted.key, wanted.owner, wanted.lease, wanted.fingerprint, redelivered=wanted.redelivered
            )
        except Exception as exc:
            return exc

    @abstractmethod
    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        """Mark the record done for `ttl` and keep its value for `value_ttl`. Returns the record's value (the first one
        stays), or None if somebody else holds it."""

    def settle_many(self, settled: Sequence[Settling]) -> list[bytes | Exception | None]:
        """Settle several records; a store at the other end of a network does it in one round trip. Return for each what
        `settle` would return, or raise, alone."""
        return [self._settle_one(one) for one in settled]

    def _settle_one(self, one: Settling) -> bytes | Exception | None:
        try:
            return self.settle(one.key, one.owner, one.fingerprint, one.value, one.ttl, one.value_ttl)
        except Exception as exc:
            return exc

    @abstractmethod
    def release(self, key: str, owner: str) -> bool:
        """Drop the claim if it is pending and ours."""

    # --- what was said, for responders ---
    @abstractmethod
    def remember(self, subject: str, entry_id: str, entry: bytes, most: int, ttl: int) -> None:
        """Add an entry to the subject's history, in place of one with the same id, and keep the newest `most`."""

    @abstractmethod
    def recall(self, subject: str) -> list[bytes]:
        """Return the subject's history, oldest first."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections."""

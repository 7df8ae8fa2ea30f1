"""What the ledger's verbs are given, and what they answer.

Durations are in ms, sizes in bytes, epochs in us.
"""

from __future__ import annotations

import binascii
import hashlib
from dataclasses import dataclass
from typing import Literal, NamedTuple

from msgspec import Struct

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

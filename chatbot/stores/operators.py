"""The verbs for operators: what became of an item, what is buried, and the journal. Never on the way of a message.

The journal is a capped stream of notes about what the guards decided. It is best effort, and it expires: what the
ledger itself says of an item comes first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from chatbot.stores.values import Entry

#: How many graves a look shows at most.
MOST_GRAVES = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the ledger knows of one item. `epoch` is None if nothing, 0 while it is open, -1 for an edit or a withdrawn
    item, else of the turn that settled it.

    An open item has a `place` among all unsettled ones of its key (the first `size` are the turn) and the time at which
    it `arrived` (ms). A settled one has its turn's `outcome` and `owner` for as long as its result is kept. `ttl`: for
    how many ms the id is still remembered.
    """

    digest: str
    epoch: int | None = None
    ttl: int = 0
    place: int | None = None
    arrived: int | None = None
    outcome: Literal["", "ok", "dead"] = ""
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grave:
    """A buried turn: when (ms), why, and how many items. Only `grave` brings the items themselves."""

    key: str
    epoch: int
    at: int
    reason: bytes
    size: int
    entries: tuple[Entry, ...] = ()


class Note(Struct, frozen=True, kw_only=True):
    """Something that happened `age` ms ago. `subject` is what it is about, `names` are further ids to find it by."""

    subject: str
    data: bytes
    names: tuple[str, ...] = ()
    age: int = 0


@dataclass(frozen=True, slots=True)
class Noted:
    """A note as it is found: when it happened, in ms of the store's clock."""

    at: int
    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """One step through the journal: where the next begins (empty: this was the last), and what was found."""

    cursor: str
    notes: list[Noted] = field(default_factory=list)


class Operators(ABC):
    """What a store tells operators. Every verb raises StoreUnavailable when the answer is unknown."""

    @abstractmethod
    def trace(self, key: str, item_id: str) -> Trace:
        """Say what became of an item. Reads only."""

    @abstractmethod
    def peek(self, key: str) -> list[Entry]:
        """Return all unsettled items of a key, in order: the turn, then the window. Reads only."""

    @abstractmethod
    def graves(self, key: str = "") -> list[Grave]:
        """Return the newest buried turns, newest first: of one key, or of all. Reads only."""

    @abstractmethod
    def grave(self, key: str, epoch: int) -> Grave | None:
        """Return one buried turn with its items; None if there is none. Reads only."""

    @abstractmethod
    def drop(self, key: str, epoch: int) -> int:
        """Drop a buried turn, which stays settled; return how many items it had, 0 if there is none."""

    @abstractmethod
    def omit(self, subject: str, entry_ids: Sequence[str]) -> int:
        """Take entries out of a subject's history; return how many were in it."""

    @abstractmethod
    def note(self, notes: Sequence[Note], most: int, ttl: int) -> None:
        """Write notes down. Each partition keeps about the newest `most`, and none for longer than `ttl`."""

    @abstractmethod
    def journal(self, cursor: str, count: int, *, subject: str = "", name: str = "", erase: bool = False) -> Page:
        """Go on from a cursor (empty: begin), look at about `count` calls of `note`, oldest first, and return or erase
        the notes of that subject, or those of that name: a name is found by any run of its parts between colons."""

    @abstractmethod
    def tail(self, cursor: str, count: int, back: int = 0) -> Page:
        """Return the notes of at most `count` calls of `note` after a cursor, oldest first. Without a cursor it begins
        `back` notes before the end. The cursor is never empty: the next look goes on there. Reads only."""

    @abstractmethod
    def open_keys(self, count: int) -> list[str]:
        """Return the keys that are not idle, at most `count`, the ones that are due soonest first. Reads only."""


def sought(subject: str, name: str) -> tuple[str, str]:
    """Return by what the journal is searched and for what. Raises ValueError unless it is one of the two."""
    if bool(subject) == bool(name):
        raise ValueError("the journal is searched by a subject or by a name")
    return ("subject", subject) if subject else ("name", name)


def name_line(names: Sequence[str]) -> str:
    """Return names as the journal keeps them: `:` + needle + `:` is in it if the needle is a run of a name's parts."""
    return ":" + ":\n:".join(names) + ":" if names else ""

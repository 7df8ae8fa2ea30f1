"""What the journal holds: events, and how they are found again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from chatbot.decoding import decoder
from chatbot.stores.base import Store
from chatbot.stores.operators import Noted, Page

#: Calls whose notes one step of a search looks at: a script blocks the server.
STEP = 50


class Event(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened. `what` is decided, published, began, ended or lost; `key` is `<actor>/<subject>` of
    mailboxes, and the record's key of other calls; `worker` is the process that saw it. `said` is an error's text: it
    may quote what somebody wrote."""

    what: str
    key: str
    actor: str = ""
    message_id: str = ""
    item_id: str = ""
    outcome: str = ""
    by: str = ""
    of: str = ""
    epoch: int = 0
    owner: str = ""
    worker: str = ""
    turn_id: str = ""
    members: tuple[str, ...] = ()
    size: int = 0
    error: str = ""
    said: str = ""
    follow_ups: tuple[str, ...] = ()


class Happened(Struct, frozen=True):
    """An event, and when it was, in ms of the store's clock."""

    at: int
    event: Event


def happened(store: Store, *, subject: str = "", name: str = "") -> list[Happened]:
    """Return what the journal knows about a subject or a name, oldest first."""
    found = [_read(note) for page in _pages(store, subject, name, erase=False) for note in page.notes]
    return sorted(_set_right(found), key=lambda one: one.at)


def erase(store: Store, subject: str) -> int:
    """Erase what the journal knows about a subject; return how many notes that were."""
    return sum(len(page.notes) for page in _pages(store, subject, "", erase=True))


def _pages(store: Store, subject: str, name: str, *, erase: bool) -> Iterator[Page]:
    cursor = ""
    while True:
        page = store.journal(cursor, STEP, subject=subject, name=name, erase=erase)
        yield page
        if not (cursor := page.cursor):
            return


def _set_right(found: Sequence[Happened]) -> list[Happened]:
    """A note is dated too late by what its way to the store took. A process writes in order, so none of its events was
    later than what it wrote afterwards."""
    earliest: dict[str, int] = {}
    right = []
    for one in reversed(found):
        worker = one.event.worker
        earliest[worker] = min(one.at, earliest.get(worker, one.at))
        right.append(Happened(earliest[worker], one.event))
    return right[::-1]


def _read(note: Noted) -> Happened:
    return Happened(note.at, decoder(Event).decode(note.data))

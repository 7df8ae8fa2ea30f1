"""A conversation's state now: what waits, what runs, who has it for how long, and what is buried."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from chatbot.middleware import events
from chatbot.middleware.pump import message_id
from chatbot.operations.bodies import id_of, text_of
from chatbot.operations.conversations import conversation, mailboxes
from chatbot.service import Service
from chatbot.stores.values import Entry, MailboxState


class Item(Struct, frozen=True, kw_only=True):
    """One unsettled message or reply: its id, its place, for how many ms it has been there."""

    id: str | None
    in_turn: bool
    age: int
    bytes: int
    text: str | None = None


class Buried(Struct, frozen=True, kw_only=True):
    """A dead letter; `id` is what `chatbot dead` takes."""

    id: str
    epoch: int
    age: int
    items: int


class Mailbox(Struct, frozen=True, kw_only=True):
    """An inbox or an outbox. Durations are in ms; `due_in` is when a pump looks at it, `attempt` counts from 1."""

    name: str
    key: str
    state: str
    epoch: int
    owner: str
    worker: str | None
    attempt: int
    fails: int
    lost: int
    publications: int
    due_in: int | None
    lease_in: int | None
    hold_in: int | None
    parts: tuple[int, ...]
    bytes: int
    items: list[Item]
    dead: list[Buried]


class Inspection(Struct, frozen=True, kw_only=True):
    """A conversation now. `history` counts the turns that a responder is told of."""

    conversation: str
    now: int
    mailboxes: list[Mailbox]
    history: int


def inspect(service: Service, given: str, *, show_text: bool = False) -> Inspection:
    """Return a conversation's state. Raises NotFound if nothing is known of it."""
    subject = conversation(service, given)
    names = zip(("inbox", "outbox"), mailboxes(service, subject), strict=True)
    return Inspection(
        conversation=subject,
        now=service.store.inspect(f"{subject}/").now,
        mailboxes=[_mailbox(service, name, key, show_text) for name, key in names],
        history=len(service.store.recall(subject)),
    )


def _mailbox(service: Service, name: str, key: str, show_text: bool) -> Mailbox:
    state, entries = service.store.inspect(key), service.store.peek(key)
    return Mailbox(
        name=name,
        key=key,
        state=state.state,
        epoch=state.epoch,
        owner=state.owner,
        worker=_worker(service, key, state),
        attempt=state.fails + state.lost + 1 if state.size else 0,
        fails=state.fails,
        lost=state.lost,
        publications=state.publications,
        due_in=state.due_in,
        lease_in=state.lease_in,
        hold_in=state.hold_in,
        parts=state.parts,
        bytes=state.bytes,
        items=list(_items(state, entries, show_text)),
        dead=[
            Buried(id=message_id(key, grave.epoch), epoch=grave.epoch, age=state.now - grave.at, items=grave.size)
            for grave in service.store.graves(key)
        ],
    )


def _items(state: MailboxState, entries: list[Entry], show_text: bool) -> Iterator[Item]:
    for place, entry in enumerate(entries):
        yield Item(
            id=id_of(entry.body),
            in_turn=place < state.size,
            age=max(0, state.now - entry.arrived),
            bytes=len(entry.body),
            text=text_of(entry.body) if show_text else None,
        )


def _worker(service: Service, key: str, state: MailboxState) -> str | None:
    """The ledger knows a delivery; the journal may know where it runs."""
    if not state.owner:
        return None
    told = events.happened(service.store, subject=key.partition("/")[2])
    return next((one.event.worker for one in told if one.event.owner == state.owner), None)

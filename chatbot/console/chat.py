"""A conversation as bubbles, read from the ledger alone: what waits, what is being answered, and what was said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from chatbot.actors.history import Lines, said
from chatbot.middleware.pump import message_id
from chatbot.middleware.turns import turn_id
from chatbot.operations.bodies import id_of, text_of
from chatbot.operations.conversations import mailboxes
from chatbot.stores.operators import Grave
from chatbot.stores.values import Entry, MailboxState

if TYPE_CHECKING:
    from chatbot.service import Service


class Bubble(Struct, frozen=True, kw_only=True):
    """A message or a reply. `waits`: it is still on its way."""

    key: str
    text: str
    waits: bool = False


class Exchange(Struct, frozen=True, kw_only=True):
    """A turn: a burst and what it was answered with. `dead`: the id of the dead letter that it became."""

    key: str
    messages: list[Bubble]
    replies: list[Bubble] = []
    dead: str = ""


class Chat(Struct, frozen=True, kw_only=True):
    """A conversation now. `due_in`, in ms, is of the open window."""

    exchanges: list[Exchange]
    state: str
    turn: list[Bubble]
    window: list[Bubble]
    attempt: int = 1
    due_in: int | None = None
    is_remembered: bool = True


def read(service: Service, subject: str) -> Chat:
    """Return a conversation as it is now. Raises StoreUnavailable."""
    store = service.store
    inbox, outbox = mailboxes(service, subject)
    state, entries = store.inspect(inbox), store.peek(inbox)
    turn = entries[: state.size]
    # What is said is written down just before its turn settles.
    open_turn = turn_id(inbox, turn) if turn else ""
    told = [lines for lines in said(store, subject) if lines.turn_id != open_turn]
    waiting = {id_of(entry.body) for entry in store.peek(outbox)}
    buried = [_buried(store.grave(inbox, grave.epoch) or grave) for grave in store.graves(inbox)]
    return Chat(
        exchanges=[*(_exchange(lines, waiting) for lines in told), *reversed(buried)],
        state=state.state,
        turn=_bubbles(turn),
        window=_bubbles(entries[state.size :]),
        attempt=state.fails + state.lost + 1,
        due_in=_due_in(state),
        is_remembered=service.settings.history_messages > 0,
    )


def _due_in(state: MailboxState) -> int | None:
    return max(0, state.due_in) if state.state == "accumulating" and state.due_in is not None else None


def _exchange(lines: Lines, waiting: set[str | None]) -> Exchange:
    asked = [line.text for line in lines.entries if line.role == "user"]
    answers = [line.text for line in lines.entries if line.role == "assistant"]
    return Exchange(
        key=lines.turn_id,
        messages=[Bubble(key=f"{lines.turn_id}-{n}", text=text) for n, text in enumerate(asked)],
        replies=[
            Bubble(key=f"{lines.turn_id}_{n}", text=text, waits=f"{lines.turn_id}_{n}" in waiting)
            for n, text in enumerate(answers)
        ],
    )


def _buried(grave: Grave) -> Exchange:
    letter = message_id(grave.key, grave.epoch)
    return Exchange(key=f"dead-{grave.epoch}", messages=_bubbles(grave.entries), dead=letter)


def _bubbles(entries: Sequence[Entry]) -> list[Bubble]:
    return [Bubble(key=entry.digest, text=text_of(entry.body) or "") for entry in entries]

"""What became of a message of which the ledger says no more than that it is in no turn: the journal may know why."""

from __future__ import annotations

from collections.abc import Sequence

from chatbot.middleware.events import Event, Happened
from chatbot.operations.conversations import message_id_of
from chatbot.operations.sentences import Sentence

_OF_A_CHANGE = {
    "amended": "an edit of %(other)s, which still waited",
    "withdrawn": "a deletion of %(other)s, which still waited",
    "late": "a deletion of %(other)s, which came too late and was ignored",
}


def verdict(told: Sequence[Happened], item_id: str) -> tuple[str, str | None] | None:
    """Return what became of it, and the id of the other message that this names; None if the journal does not know."""
    decided = [one.event for one in told if one.event.what == "decided"]
    for event in reversed(decided):
        if found := _of_itself(event, item_id) or _of_its_deletion(event, item_id):
            return found
    return None


def _of_itself(event: Event, item_id: str) -> tuple[str, str | None] | None:
    if event.item_id != item_id:
        return None
    if event.outcome == "overflow":
        return Sentence("refused, as too much waited: its sender was asked to send it again"), None
    if event.outcome not in _OF_A_CHANGE:
        return None
    other = message_id_of(event.of)
    return Sentence(_OF_A_CHANGE[event.outcome], other=other or Sentence("a message that is not known")), other or None


def _of_its_deletion(event: Event, item_id: str) -> tuple[str, str | None] | None:
    if event.outcome != "withdrawn" or event.of != item_id:
        return None
    other = message_id_of(event.item_id)
    return Sentence("withdrawn by %(other)s before its turn: nobody is asked about it", other=other), other

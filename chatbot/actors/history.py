"""What was said before: lines of a conversation that a responder gets with its turn.

A turn's lines are written just before it settles, under the turn's id: a repeated attempt replaces them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from chatbot.decoding import decoder
from chatbot.model import Draft, HistoryEntry, InboundMessage
from chatbot.stores import Store


class Lines(Struct, frozen=True):
    """What was said in one turn."""

    turn_id: str
    entries: list[HistoryEntry]


def said(store: Store, conversation: str) -> list[Lines]:
    """Return what was said in a conversation, turn by turn, oldest first."""
    return [decoder(Lines).decode(raw) for raw in store.recall(conversation)]


class History:
    """The newest `most` lines of each conversation, kept for `ttl` ms after the last one."""

    def __init__(self, store: Store, *, most: int, ttl: int) -> None:
        self._store, self._most, self._ttl = store, most, ttl

    def before(self, conversation: str, turn_id: str) -> tuple[HistoryEntry, ...]:
        """Return what was said before this turn, oldest first."""
        if not self._most:
            return ()
        turns = said(self._store, conversation)
        return tuple(line for turn in turns if turn.turn_id != turn_id for line in turn.entries)[-self._most :]

    def add(
        self, conversation: str, turn_id: str, messages: Sequence[InboundMessage], replies: Sequence[Draft]
    ) -> None:
        """Write down one turn."""
        now = datetime.now(UTC)
        asked = [
            HistoryEntry(role="user", text=message.text, timestamp=message.sent_at or message.received_at or now)
            for message in messages
            if message.text
        ]
        answered = [HistoryEntry(role="assistant", text=reply.text, timestamp=now) for reply in replies if reply.text]
        if self._most and (asked or answered):
            lines = msgspec.json.encode(Lines(turn_id, asked + answered))
            self._store.remember(conversation, turn_id, lines, self._most, self._ttl)

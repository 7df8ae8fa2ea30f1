"""Turns to ask responders about."""

from __future__ import annotations

from datetime import UTC, datetime

from chatbot.model import InboundMessage, TurnRequest

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def message(message_id: str = "m1", **fields: object) -> InboundMessage:
    """Return a message of conversation c1."""
    given = {"text": "hi", "sender_id": "u1", "sent_at": NOON, **fields}
    return InboundMessage(
        channel="generic", conversation_id="c1", message_id=message_id, dedupe_key=f"generic::c1:{message_id}", **given
    )


def turn(*messages: InboundMessage, turn_id: str = "t1", **fields: object) -> TurnRequest:
    """Return a turn with these messages, or with one that says hi."""
    return TurnRequest(
        turn_id=turn_id, channel="generic", conversation_id="c1", messages=messages or (message(),), **fields
    )

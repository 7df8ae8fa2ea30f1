"""What process_turn makes of its items before it asks the responder."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chatbot.actors.turns import in_order_sent
from chatbot.model import InboundMessage


def said(message_id: str, second: int | None = None, **more: Any) -> InboundMessage:
    sent_at = None if second is None else datetime(2026, 1, 31, 12, 0, second, tzinfo=UTC)
    return InboundMessage(
        channel="generic", conversation_id="c", message_id=message_id, dedupe_key=message_id, sent_at=sent_at, **more
    )


def edit(message_id: str, target: str, second: int) -> InboundMessage:
    return said(message_id, second, kind="edit", target_id=target)


@pytest.mark.parametrize(
    ("arrived", "ordered"),
    [
        ([said("b", 2), said("a", 1)], ["a", "b"]),
        ([said("b", 1), said("a", 1)], ["b", "a"]),
        ([said("b", 2), said("none"), said("a", 1)], ["a", "b", "none"]),
        ([said("x"), said("y")], ["x", "y"]),
        # It stands where m1 stood, and its own time is that of the edit.
        ([edit("e", "m1", 9), said("m2", 2)], ["e", "m2"]),
        ([said("m0", 0), edit("e", "m1", 9), said("m2", 2)], ["m0", "e", "m2"]),
        # It overtook its message on the way.
        ([edit("e", "m1", 9), said("m1", 1)], ["m1", "e"]),
        ([said("m1", 1), said("m2", 2), edit("e", "m1", 9)], ["m1", "m2", "e"]),
        ([edit("e", "m1", 9)], ["e"]),
    ],
)
def test_messages_are_in_the_order_in_which_they_were_sent(arrived: list[InboundMessage], ordered: list[str]) -> None:
    assert [item.message_id for item in in_order_sent(arrived)] == ordered

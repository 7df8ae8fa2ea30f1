"""What makes a message the same message."""

from __future__ import annotations

from collections.abc import Iterable

from chatbot.model import InboundMessage


def dedupe_key(*parts: str) -> str:
    """Return `channel:account:conversation:message_id...`, escaped: two different messages never share a key."""
    joined = ":".join(parts)
    if "%" not in joined and joined.count(":") == len(parts) - 1:
        return joined  # as nearly always: there is nothing to escape
    return ":".join(part.replace("%", "%25").replace(":", "%3A") for part in parts)


def without_repeats(messages: Iterable[InboundMessage]) -> tuple[InboundMessage, ...]:
    """Return the messages in their order, each key once: providers do repeat a message inside one body."""
    first: dict[str, InboundMessage] = {}
    for message in messages:
        first.setdefault(message.dedupe_key, message)
    return tuple(first.values())

"""Which messages belong together, and which are the same."""

from __future__ import annotations

from typing import Protocol

from chatbot.channels.identity import dedupe_key
from chatbot.model import InboundMessage


class _InConversation(Protocol):
    @property
    def channel(self) -> str: ...
    @property
    def account_id(self) -> str: ...
    @property
    def conversation_id(self) -> str: ...
    @property
    def thread_id(self) -> str | None: ...


def by_conversation(item: _InConversation) -> str:
    """Return the conversation that a message or a reply is part of."""
    thread = f":{item.thread_id}" if item.thread_id else ""
    return f"{item.channel}:{item.account_id}:{item.conversation_id}{thread}"


def by_message(item: InboundMessage) -> str:
    """Return what two deliveries of the same message have in common."""
    return item.dedupe_key


def by_target(item: InboundMessage) -> str | None:
    """Return the key of the message that an edit or a deletion is about; None for everything else."""
    if item.kind not in ("edit", "delete") or item.target_id is None:
        return None
    return dedupe_key(item.channel, item.account_id, item.conversation_id, item.target_id)

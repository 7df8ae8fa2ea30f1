"""The words of the service: what arrives, what is asked of a responder, what leaves. Frozen, typed, JSON in and out.

All records are msgspec structs: defaults are left out of their JSON, so a short message stays short in the store.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from msgspec import Struct

Kind = Literal[
    "text", "image", "audio", "voice", "video", "document", "sticker", "location", "contact",
    "interactive", "order", "reaction", "edit", "delete", "unsupported",
]  # fmt: skip
ConversationKind = Literal["dm", "group", "channel"]


class Attachment(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A file that came with a message, or goes with a reply. `size` is in bytes."""

    url: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    kind: str | None = None
    provider_media_id: str | None = None
    size: int | None = None
    sha256: str | None = None


class Interactive(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A button or a list row that somebody tapped: `payload` is what the bot put there, `title` what was shown."""

    payload: str | None = None
    title: str | None = None


class InboundMessage(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing a person did in a conversation, whatever the channel.

    `dedupe_key` is never empty: two deliveries of the same message have the same one.
    An `edit` or a `delete` has an id of its own and names its message as `target_id`.
    `sent_at` is the provider's time (UTC), `received_at` ours.
    """

    channel: str
    conversation_id: str
    message_id: str
    dedupe_key: str
    kind: Kind = "text"
    text: str | None = None
    account_id: str = ""
    sender_id: str = ""
    sender_aliases: tuple[str, ...] = ()
    sender_name: str | None = None
    conversation_kind: ConversationKind = "dm"
    thread_id: str | None = None
    delivery_id: str | None = None
    attachments: tuple[Attachment, ...] = ()
    interactive: Interactive | None = None
    reply_to_id: str | None = None
    target_id: str | None = None
    media_group_id: str | None = None
    mentions_bot: bool = False
    sent_at: datetime | None = None
    received_at: datetime | None = None
    triggers_turn: bool = True
    #: Of the request that brought it, for logs.
    correlation_id: str = ""
    #: Of the span that admitted it (W3C Trace Context), if there is one.
    traceparent: str = ""


class HistoryEntry(Struct, frozen=True, kw_only=True):
    """One line of the conversation before this turn."""

    role: Literal["user", "assistant"]
    text: str
    timestamp: datetime


class TurnRequest(Struct, frozen=True, kw_only=True):
    """What a responder is asked: a burst of messages, in the order in which they were sent, and what went before."""

    turn_id: str
    channel: str
    conversation_id: str
    messages: tuple[InboundMessage, ...]
    history: tuple[HistoryEntry, ...] = ()
    account_id: str = ""
    #: 1 for the first time that this turn is asked, more for a repetition.
    attempt: int = 1


class Draft(Struct, frozen=True, kw_only=True):
    """One reply as a responder gives it: it has no place and no id yet."""

    text: str = ""
    attachments: tuple[Attachment, ...] = ()


class Reply(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reply on its way out. `reply_id` is stable: a receiver that honours it sees each reply once."""

    reply_id: str
    turn_id: str
    channel: str
    conversation_id: str
    position: int
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    account_id: str = ""
    #: Who wrote the message that this answers, as the provider names them.
    recipient_id: str = ""
    thread_id: str | None = None
    #: Of the turn's first message, for logs.
    correlation_id: str = ""
    #: Of the span of the turn, if there is one.
    traceparent: str = ""

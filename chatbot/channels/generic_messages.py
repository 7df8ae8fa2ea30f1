"""Reading a body of the generic channel: each message alone, so that a bad one never hides its neighbours."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from chatbot.channels.base import Parsed, Rejected
from chatbot.channels.identity import dedupe_key, without_repeats
from chatbot.channels.json_body import decode
from chatbot.errors import Malformed
from chatbot.model import Attachment, InboundMessage, Kind

MOST_MESSAGES = 100
MOST_ID_CHARS = 256
MOST_TEXT_CHARS = 65_536
MOST_ATTACHMENTS = 20
MOST_URL_CHARS = 4_096
MOST_NAME_CHARS = 1_024

Id = Annotated[str, Meta(min_length=1, max_length=MOST_ID_CHARS)]
Name = Annotated[str, Meta(max_length=MOST_NAME_CHARS)]


class File(Struct, frozen=True):
    """An attachment as the sender gives it."""

    url: Annotated[str, Meta(min_length=1, max_length=MOST_URL_CHARS)]
    mime_type: Name | None = None
    filename: Name | None = None


class Item(Struct, frozen=True):
    """A message as the sender gives it. A time without an offset is UTC.

    `edits` and `deletes` name the message, of the same conversation, that this one corrects or takes back.
    """

    message_id: Id
    conversation_id: Id
    sender_id: Id
    text: Annotated[str, Meta(max_length=MOST_TEXT_CHARS)] | None = None
    timestamp: datetime | None = None
    attachments: Annotated[list[File], Meta(max_length=MOST_ATTACHMENTS)] | None = None
    edits: Id | None = None
    deletes: Id | None = None


class Body(Struct, frozen=True):
    """Many messages. What else the object holds is looked at only if `messages` is absent."""

    messages: list[Raw] | UnsetType = UNSET


_BODY = msgspec.json.Decoder(Body)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ITEM = msgspec.json.Decoder(Item)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_KINDS: dict[str, Kind] = {"image": "image", "audio": "audio", "video": "video"}


def parse(channel: str, body: bytes, received_at: datetime) -> Parsed:
    """Return what the body holds. Raises Malformed if it is not JSON, or none of the two shapes."""
    messages: list[InboundMessage] = []
    rejected: list[Rejected] = []
    for at, raw in _items(body):
        try:
            messages.append(_message(channel, raw, at, received_at))
        except Malformed as exc:
            rejected.append(Rejected(field=exc.field or at or "message", reason=str(exc)))
    unique = without_repeats(messages)
    return Parsed(messages=unique, repeats=len(messages) - len(unique), rejected=tuple(rejected))


def _items(body: bytes) -> list[tuple[str, Raw]]:
    if not body.isascii():
        _must_be_utf8(body)  # decoding skips what it does not keep, so it would not notice
    items = decode(body, _BODY).messages
    if items is UNSET:
        if not decode(body, _FIELDS).keys() & set(Item.__struct_fields__):
            raise Malformed("neither a list of messages nor a message", field="messages")
        return [("", Raw(body))]
    if not 1 <= len(items) <= MOST_MESSAGES:
        raise Malformed(f"must hold 1 to {MOST_MESSAGES} messages, but holds {len(items)}", field="messages")
    return [(f"messages[{place}]", raw) for place, raw in enumerate(items)]


def _must_be_utf8(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as exc:
        raise Malformed(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc


def _message(channel: str, raw: Raw, at: str, received_at: datetime) -> InboundMessage:
    item = decode(raw, _ITEM, at)
    for name in ("message_id", "conversation_id", "sender_id", "edits", "deletes"):
        if not _is_plain(getattr(item, name)):
            raise Malformed("must not be blank, nor hold control characters", field=_join(at, name))
    if item.edits and item.deletes:
        raise Malformed("a message is edited or deleted, not both", field=_join(at, "deletes"))
    if not (item.text or item.attachments or item.deletes):
        raise Malformed("a message needs a text or an attachment", field=_join(at, "text"))
    kind, target = _kind_of(item), item.edits or item.deletes
    sent_at = None if item.timestamp is None else _utc(item.timestamp, at)
    attachments = tuple(_attachment(file) for file in item.attachments or ())
    return InboundMessage(
        channel=channel,
        conversation_id=item.conversation_id,
        message_id=item.message_id,
        sender_id=item.sender_id,
        dedupe_key=dedupe_key(channel, "", item.conversation_id, item.message_id, *_version(kind, target, sent_at)),
        kind=kind,
        text=item.text,
        attachments=attachments,
        target_id=target,
        sent_at=sent_at,
        received_at=received_at,
        triggers_turn=target is None,
    )


def _kind_of(item: Item) -> Kind:
    if item.edits or item.deletes:
        return "edit" if item.edits else "delete"
    return _kind(item.attachments[0]) if item.attachments else "text"


def _version(kind: Kind, target: str | None, sent_at: datetime | None) -> tuple[str, ...]:
    """Tell an edit or a deletion from its message, whose id a sender may give it."""
    return () if target is None else (kind, target, sent_at.isoformat() if sent_at else "")


def _is_plain(value: str | None) -> bool:
    if value is None:
        return True
    # What can be printed holds no control character; of the rest, few do.
    return bool(value.strip()) and (value.isprintable() or not _CONTROL.search(value))


def _attachment(file: File) -> Attachment:
    return Attachment(url=file.url, mime_type=file.mime_type, filename=file.filename, kind=_kind(file))


def _kind(file: File) -> Kind:
    return _KINDS.get((file.mime_type or "").partition("/")[0].lower(), "document")


def _utc(time: datetime, at: str) -> datetime:
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError as exc:
        raise Malformed("is outside the calendar in UTC", field=_join(at, "timestamp")) from exc


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name

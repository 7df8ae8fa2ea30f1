"""Reading WhatsApp's webhooks: one POST holds entries, changes and messages, and a bad one never hides the others.

Meta would resend for days what is answered with an error, so whatever is JSON is taken; only its parts are rejected.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from msgspec import Raw

from chatbot.channels.base import Parsed, Rejected
from chatbot.channels.identity import dedupe_key, without_repeats
from chatbot.channels.json_body import decode
from chatbot.channels.whatsapp_content import Said, said
from chatbot.channels.whatsapp_payload import Change, Contact, Context, Entry, Envelope, Message, Value
from chatbot.errors import Malformed
from chatbot.model import InboundMessage

T = TypeVar("T")

_ENVELOPE = msgspec.json.Decoder(Envelope)
_ENTRY = msgspec.json.Decoder(Entry)
_CHANGE = msgspec.json.Decoder(Change)
_VALUE = msgspec.json.Decoder(Value)
_MESSAGE = msgspec.json.Decoder(Message)
_CONTACTS = msgspec.json.Decoder(list[Contact] | None)
_CONTEXT = msgspec.json.Decoder(Context | None)

# Nobody said these: somebody changed their number, or opened the chat for the first time.
_EVENTS = frozenset({"system", "request_welcome"})
_TARGETED = frozenset({"edit", "delete", "reaction"})
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def parse(channel: str, body: bytes, received_at: datetime, *, only_account: str = "") -> Parsed:
    """Return what a webhook holds; messages to other accounts than `only_account`, if given, are ignored."""
    reader = _Reader(channel, received_at, only_account)
    reader.envelope(_whole(body))
    unique = without_repeats(reader.messages)
    return Parsed(
        messages=unique,
        repeats=len(reader.messages) - len(unique),
        rejected=tuple(reader.rejected),
        ignored=reader.ignored,
    )


class _Reader:
    """Walks down one body and notes what it finds."""

    def __init__(self, channel: str, received_at: datetime, only_account: str) -> None:
        self.messages: list[InboundMessage] = []
        self.rejected: list[Rejected] = []
        self.ignored = 0
        self._channel = channel
        self._received_at = received_at
        self._only_account = only_account

    def envelope(self, envelope: Envelope) -> None:
        if envelope.object != "whatsapp_business_account" or not envelope.entry:
            self.ignored += 1
            return
        for at, entry in self._each(envelope.entry, _ENTRY, "entry"):
            for where, change in self._each(entry.changes or [], _CHANGE, f"{at}.changes"):
                self._change(change, f"{where}.value")

    def _change(self, change: Change, at: str) -> None:
        if change.field != "messages":
            self.ignored += 1
        elif (value := self._read(change.value, _VALUE, at)) is not None:
            self.ignored += len(value.statuses or ()) + len(value.errors or ())
            if value.messages:
                self._messages(value, value.messages, at)

    def _messages(self, value: Value, messages: list[Raw], at: str) -> None:
        account = value.metadata.phone_number_id if value.metadata else ""
        if not account:
            self.rejected.append(Rejected(field=f"{at}.metadata.phone_number_id", reason="is missing"))
        elif self._only_account and account != self._only_account:
            self.ignored += len(messages)
        else:
            people = _people(value.contacts)
            for where, message in self._each(messages, _MESSAGE, f"{at}.messages"):
                self._take(message, people, account, where)

    def _take(self, message: Message, people: dict[str, Contact], account: str, at: str) -> None:
        if message.type in _EVENTS:
            self.ignored += 1
        elif not message.id:
            self.rejected.append(Rejected(field=f"{at}.id", reason="is missing"))
        elif not (message.from_ or message.from_user_id):
            self.rejected.append(Rejected(field=f"{at}.from", reason="is missing, and so is from_user_id"))
        else:
            self.messages.append(self._message(message, people, account))

    def _message(self, message: Message, people: dict[str, Contact], account: str) -> InboundMessage:
        what = said(message)
        sender = message.from_ or message.from_user_id or ""
        person = people.get(sender) or people.get(message.from_user_id or "") or Contact()
        conversation = message.group_id or sender
        sent_at = _time(message.timestamp)
        return InboundMessage(
            channel=self._channel,
            account_id=account,
            conversation_id=conversation,
            conversation_kind="group" if message.group_id else "dm",
            sender_id=sender,
            sender_aliases=_aliases(sender, message.from_user_id, person.wa_id, person.user_id),
            sender_name=person.profile.name if person.profile else None,
            message_id=message.id,
            dedupe_key=dedupe_key(self._channel, account, conversation, message.id, *_versions(what, sent_at)),
            kind=what.kind,
            text=what.text,
            attachments=what.attachments,
            interactive=what.interactive,
            reply_to_id=_reply_to(message.context),
            target_id=what.target_id,
            sent_at=sent_at,
            received_at=self._received_at,
            triggers_turn=what.triggers_turn,
        )

    def _each(self, raws: list[Raw], decoder: msgspec.json.Decoder[T], at: str) -> Iterator[tuple[str, T]]:
        """Yield what can be read of a list, and where it was."""
        for place, raw in enumerate(raws):
            where = f"{at}[{place}]"
            if (item := self._read(raw, decoder, where)) is not None:
                yield where, item

    def _read(self, raw: Raw, decoder: msgspec.json.Decoder[T], at: str) -> T | None:
        """Return what the decoder makes of a part, or reject the part."""
        try:
            return decode(raw, decoder, at)
        except Malformed as exc:
            self.rejected.append(Rejected(field=exc.field or at, reason=str(exc)))
            return None


def _whole(body: bytes) -> Envelope:
    try:
        body.decode()
    except UnicodeDecodeError as exc:
        raise Malformed(f"not UTF-8: {exc.reason} at byte {exc.start}") from exc
    try:
        return decode(body, _ENVELOPE)
    except Malformed:
        # Half an emoji, as a name cut to a length has it, is no valid JSON for msgspec; it must not cost the message.
        mended = _ESCAPES.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], body)
        if mended == body:
            raise
        return decode(mended, _ENVELOPE)


def _people(contacts: Raw) -> dict[str, Contact]:
    """Return the contacts by number and by user id; they add only names, so a bad list is no list."""
    try:
        found = decode(contacts, _CONTACTS) or []
    except Malformed:
        return {}
    return {key: contact for contact in found for key in (contact.wa_id, contact.user_id) if key}


def _aliases(sender: str, *ids: str | None) -> tuple[str, ...]:
    return tuple(dict.fromkeys(alias for alias in ids if alias and alias != sender))


def _versions(what: Said, sent_at: datetime | None) -> tuple[str, ...]:
    if what.kind not in _TARGETED:
        return ()
    return (what.kind, what.target_id or "", str(int(sent_at.timestamp())) if sent_at else "")


def _reply_to(context: Raw) -> str | None:
    try:
        found = decode(context, _CONTEXT)
    except Malformed:
        return None
    return found.id if found else None


def _time(seconds: Any) -> datetime | None:
    """Return Meta's time (a string of seconds since 1970), or None: a bad time must not cost the message."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None

"""The shapes of WhatsApp's webhooks, as far as they are read here. Meta adds fields at any time; all are optional."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, Struct, field

_NONE = Raw(b"null")


class Envelope(Struct, frozen=True):
    """A POST. Each level keeps the one below as bytes, so that something bad there stays there."""

    object: Any = None
    entry: list[Raw] | None = None


class Entry(Struct, frozen=True):
    """What happened to one WhatsApp Business Account."""

    changes: list[Raw] | None = None


class Change(Struct, frozen=True):
    """One event: only the field `messages` holds what people wrote."""

    field: Any = None
    value: Raw = _NONE


class Metadata(Struct, frozen=True):
    """The business number that it is about."""

    phone_number_id: str = ""


class Value(Struct, frozen=True):
    """The value of the field `messages`."""

    metadata: Metadata | None = None
    contacts: Raw = _NONE
    messages: list[Raw] | None = None
    statuses: list[Raw] | None = None
    errors: list[Raw] | None = None


class Profile(Struct, frozen=True):
    """How people call themselves."""

    name: str | None = None


class Contact(Struct, frozen=True):
    """A person who wrote, by number, by user id, or both."""

    profile: Profile | None = None
    wa_id: str | None = None
    user_id: str | None = None


class Context(Struct, frozen=True):
    """The message that this one answers; a forwarded one has no id here."""

    id: str | None = None


class Text(Struct, frozen=True):
    """Words."""

    body: str


class Media(Struct, frozen=True):
    """A file that Meta keeps. `voice` tells a recording from an audio file."""

    id: str | None = None
    url: str | None = None
    mime_type: str | None = None
    filename: str | None = None
    sha256: str | None = None
    caption: str | None = None
    voice: bool = False


class Location(Struct, frozen=True):
    """A place, with a name and an address if it was picked from the map."""

    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


class Phone(Struct, frozen=True):
    """A number on a contact card."""

    phone: str | None = None


class CardName(Struct, frozen=True):
    """The name on a contact card."""

    formatted_name: str | None = None


class Card(Struct, frozen=True):
    """A contact card."""

    name: CardName | None = None
    phones: list[Phone] | None = None


class Choice(Struct, frozen=True):
    """A button or a list row that was tapped."""

    id: str | None = None
    title: str | None = None


class FlowReply(Struct, frozen=True):
    """A form that was filled in; `response_json` is JSON inside a string."""

    response_json: str | None = None
    body: str | None = None


class Tap(Struct, frozen=True):
    """An answer to an interactive message."""

    button_reply: Choice | None = None
    list_reply: Choice | None = None
    nfm_reply: FlowReply | None = None


class Button(Struct, frozen=True):
    """A tap on a template's button."""

    payload: str | None = None
    text: str | None = None


class Reaction(Struct, frozen=True):
    """An emoji on a message; without one, it was taken back."""

    message_id: str
    emoji: str | None = None


class Content(Struct, frozen=True, kw_only=True):
    """What a message says: `type` names the part that holds it."""

    type: str = ""
    text: Text | None = None
    image: Media | None = None
    audio: Media | None = None
    video: Media | None = None
    document: Media | None = None
    sticker: Media | None = None
    location: Location | None = None
    contacts: list[Card] | None = None
    interactive: Tap | None = None
    button: Button | None = None
    order: dict[str, Any] | None = None
    reaction: Reaction | None = None


class Edit(Struct, frozen=True):
    """A message that replaces an earlier one."""

    original_message_id: str
    message: Content | None = None


class Revoke(Struct, frozen=True):
    """A message that was taken back."""

    original_message_id: str


class Message(Content, frozen=True, kw_only=True):
    """A message with its sender: people with a user name may have only `from_user_id`."""

    id: str = ""
    from_: str | None = field(name="from", default=None)
    from_user_id: str | None = None
    group_id: str | None = None
    timestamp: Any = None
    context: Raw = _NONE
    edit: Edit | None = None
    revoke: Revoke | None = None

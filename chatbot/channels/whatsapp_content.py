"""What a WhatsApp message says, by its type."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import Struct

from chatbot.channels.whatsapp_payload import Card, Content, Location, Media, Message
from chatbot.model import Attachment, Interactive, Kind


class Said(Struct, frozen=True, kw_only=True):
    """The part of an InboundMessage that depends on the type."""

    kind: Kind
    text: str | None = None
    attachments: tuple[Attachment, ...] = ()
    interactive: Interactive | None = None
    target_id: str | None = None
    triggers_turn: bool = True


#: Types that Meta cannot pass on (polls, events, ...), and types of which what should be there is missing.
UNSUPPORTED = Said(kind="unsupported", triggers_turn=False)


def said(message: Message) -> Said:
    """Return what a message says; types that we do not know are `unsupported`."""
    if message.type == "edit" and message.edit:
        new = content(message.edit.message or Content())
        return msgspec.structs.replace(
            new, kind="edit", target_id=message.edit.original_message_id, triggers_turn=False
        )
    if message.type == "revoke" and message.revoke:
        return Said(kind="delete", target_id=message.revoke.original_message_id, triggers_turn=False)
    return content(message)


def content(message: Content) -> Said:
    """Return what the part says that `type` names."""
    read = _READERS.get(message.type)
    return (read(message) if read else None) or UNSUPPORTED


def _text(message: Content) -> Said | None:
    return Said(kind="text", text=message.text.body) if message.text else None


def _media(kind: Kind) -> Callable[[Content], Said | None]:
    def read(message: Content) -> Said | None:
        media: Media | None = getattr(message, kind)
        if media is None:
            return None
        exact: Kind = "voice" if media.voice else kind
        return Said(kind=exact, text=media.caption or None, attachments=(_file(media, exact),))

    return read


def _file(media: Media, kind: Kind) -> Attachment:
    # Meta's media URLs die within minutes and want the access token, so the id is what lasts.
    return Attachment(
        kind=kind,
        provider_media_id=media.id,
        url=media.url,
        mime_type=media.mime_type,
        filename=media.filename,
        sha256=media.sha256,
    )


def _location(message: Content) -> Said | None:
    place = message.location
    if place is None:
        return None
    words = ", ".join(part for part in (place.name, place.address) if part)
    return Said(kind="location", text=words or None, attachments=(_spot(place),))


def _spot(place: Location) -> Attachment:
    return Attachment(kind="location", url=f"geo:{place.latitude},{place.longitude}", filename=place.name)  # RFC 5870


def _contact(message: Content) -> Said | None:
    if not message.contacts:
        return None
    return Said(kind="contact", attachments=tuple(_card(card) for card in message.contacts))


def _card(card: Card) -> Attachment:
    numbers = [phone.phone for phone in card.phones or () if phone.phone]
    name = card.name.formatted_name if card.name else None
    return Attachment(kind="contact", filename=name, url=f"tel:{numbers[0]}" if numbers else None)


def _interactive(message: Content) -> Said | None:
    tap = message.interactive
    if tap and (choice := tap.button_reply or tap.list_reply):
        return _tapped(choice.id, choice.title)
    if tap and tap.nfm_reply:
        return _tapped(tap.nfm_reply.response_json, tap.nfm_reply.body)
    return None


def _button(message: Content) -> Said | None:
    return _tapped(message.button.payload, message.button.text) if message.button else None


def _tapped(payload: str | None, title: str | None) -> Said:
    return Said(kind="interactive", text=title or None, interactive=Interactive(payload=payload, title=title))


def _order(message: Content) -> Said | None:
    if message.order is None:
        return None
    words = message.order.get("text")
    # Products, quantities and prices have no field of their own, so a responder gets them as Meta wrote them.
    products = Interactive(payload=msgspec.json.encode(message.order).decode())
    return Said(kind="order", text=words if words and isinstance(words, str) else None, interactive=products)


def _reaction(message: Content) -> Said | None:
    if message.reaction is None:
        return None
    return Said(
        kind="reaction",
        text=message.reaction.emoji or None,
        target_id=message.reaction.message_id,
        triggers_turn=False,
    )


_READERS: dict[str, Callable[[Content], Said | None]] = {
    "text": _text,
    "image": _media("image"),
    "audio": _media("audio"),
    "video": _media("video"),
    "document": _media("document"),
    "sticker": _media("sticker"),
    "location": _location,
    "contacts": _contact,
    "interactive": _interactive,
    "button": _button,
    "order": _order,
    "reaction": _reaction,
}

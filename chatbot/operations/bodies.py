"""What a stored item says, as far as it is known: its id, and if asked for its text."""

from __future__ import annotations

from typing import Any

import msgspec


def fields(body: bytes) -> dict[str, Any]:
    """Return an item's fields; none if it is not an object."""
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def id_of(body: bytes) -> str | None:
    """Return the provider's id of a message, or the id of a reply."""
    known = fields(body)
    found = known.get("message_id") or known.get("reply_id")
    return found if isinstance(found, str) else None


def text_of(body: bytes) -> str | None:
    """Return the text of a message or of a reply: personal data."""
    found = fields(body).get("text")
    return found if isinstance(found, str) else None

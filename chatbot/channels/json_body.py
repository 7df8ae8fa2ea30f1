"""Decoding JSON from outside, so that whatever is wrong with it is one Malformed that names the field."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec

from chatbot.errors import Malformed

T = TypeVar("T")

_AT = re.compile(r"(?P<reason>.*) - at `\$(?P<path>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>[^`]+)`")


def decode(data: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[T], at: str = "") -> T:
    """Return what the decoder makes of the data. Raises Malformed, whose field begins with `at`."""
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as exc:
        reason, field = _place(str(exc), at)
        raise Malformed(reason, field=field) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise Malformed(f"not JSON in UTF-8: {exc}", field=at or None) from exc
    except RecursionError as exc:
        raise Malformed("nested too deeply", field=at or None) from exc


def _place(message: str, at: str) -> tuple[str, str | None]:
    placed = _AT.fullmatch(message)
    reason, path = (placed["reason"], placed["path"]) if placed else (message, "")
    if missing := _MISSING.search(reason):
        path += f".{missing['name']}"
    return reason, (at + path).lstrip(".") or None

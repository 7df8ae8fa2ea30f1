"""Decoders of JSON that threads can use at the same time, from the first call on.

msgspec (seen with 0.22) attaches to a Struct what it knows of its fields before it knows all of it, and lets other
threads run meanwhile. One that decodes the same Struct then follows a null pointer, and the process dies of SIGSEGV
without a word. So a type is made known here, by one thread at a time, before anybody decodes it.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

_known: dict[Any, msgspec.json.Decoder[Any]] = {}
_learning = threading.Lock()


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a type; `msgspec.convert` may be called with it, too. Raises TypeError if it has none."""
    try:
        found = _known.get(kind)
    except TypeError:  # an annotation that holds a dict cannot be looked up
        with _learning:
            return msgspec.json.Decoder(kind)
    if found is None:
        with _learning:
            found = _known.get(kind) or _known.setdefault(kind, msgspec.json.Decoder(kind))
    return found

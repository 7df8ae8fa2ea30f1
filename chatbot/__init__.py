"""One reply per burst and one effect per message.

Importing this costs nothing: each public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chatbot.errors import Permanent, StoreUnavailable, Suppressed, Transient
    from chatbot.middleware import (
        Debounced,
        Deduplicated,
        Idempotent,
        Turn,
        current_turn,
        declare,
        guarded_stack,
        guards,
        once,
    )  # fmt: skip
    from chatbot.model import TurnRequest
    from chatbot.stores import Store

_HOMES = {
    "chatbot.errors": ("Permanent", "StoreUnavailable", "Suppressed", "Transient"),
    "chatbot.middleware": (
        "Debounced", "Deduplicated", "Idempotent", "Turn", "current_turn", "declare", "guarded_stack", "guards", "once",
    ),
    "chatbot.model": ("TurnRequest",),
    "chatbot.stores": ("Store",),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # for a type checker, it would be there whatever the name

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


__all__ = [
    "Debounced", "Deduplicated", "Idempotent", "declare", "guarded_stack", "guards",
    "Turn", "current_turn", "once",
    "Permanent", "Transient", "StoreUnavailable", "Suppressed",
    "Store", "TurnRequest",
]  # fmt: skip

"""The items of a debounced actor: it takes one list of them, and its annotation says what they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import msgspec
import msgspec.inspect

from chatbot.errors import PolicyInvalid
from chatbot.middleware.calls import signature

if TYPE_CHECKING:
    from dramatiq import Actor


def item_type(actor: Actor[..., Any]) -> Any:
    """Return T of an actor's `items: list[T]`; Any where it does not say."""
    return _item_type(inspect.unwrap(actor.fn))


def require_debounceable(actor: Actor[..., Any]) -> None:
    """Raise PolicyInvalid unless the actor can be called with one list of items that come as JSON."""
    name = actor.actor_name
    if "/" in name:
        raise PolicyInvalid(f"{name!r} cannot be debounced: a slash ends the actor's part of a key")
    try:
        signature(inspect.unwrap(actor.fn)).bind([])
    except TypeError as exc:
        raise PolicyInvalid(f"{name!r} cannot be debounced: it must take one positional list ({exc})") from exc
    try:
        kind = msgspec.inspect.type_info(item_type(actor))
    except (NameError, TypeError) as exc:
        raise PolicyInvalid(f"{name!r} cannot be debounced: the type of its items is of no use ({exc})") from exc
    if isinstance(kind, msgspec.inspect.CustomType):
        raise PolicyInvalid(f"{name!r} cannot be debounced: its items are {kind.cls!r}, which msgspec cannot read")


@lru_cache(maxsize=1024)
def _item_type(fn: Callable[..., Any]) -> Any:
    first = next(iter(signature(fn).parameters))
    hints = get_type_hints(fn if inspect.isroutine(fn) else type(fn).__call__)
    return next(iter(get_args(hints.get(first))), Any)

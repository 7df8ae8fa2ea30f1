"""Reading a call: its arguments by name, the key that a policy makes of them, and a hash that tells calls apart."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from chatbot.errors import PolicyInvalid

if TYPE_CHECKING:
    from dramatiq import Actor
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

    from chatbot.middleware.policies import Key

    Call = Message[Any] | MessageProxy


def resolve(key: Key, actor: Actor[..., Any], message: Call) -> str | None:
    """Return the key of a call. Raises PolicyInvalid if the key does not fit the call's arguments."""
    try:
        found = key(*message.args, **message.kwargs) if callable(key) else _filled(key, actor, message)
    except (LookupError, AttributeError, TypeError, ValueError) as exc:
        raise PolicyInvalid(f"the key {key!r} does not fit a call of {actor.actor_name!r}: {exc!r}") from exc
    if found is None or isinstance(found, str):
        return found
    raise PolicyInvalid(f"the key {key!r} of {actor.actor_name!r} must be a str or None: {found!r}")


def _filled(template: str, actor: Actor[..., Any], message: Call) -> str:
    return template.format_map(arguments(actor, message)) if "{" in template else template


def arguments(actor: Actor[..., Any], message: Call) -> dict[str, Any]:
    """Return a call's arguments by the names of the actor's parameters, with their defaults."""
    try:
        bound = signature(inspect.unwrap(actor.fn)).bind(*message.args, **message.kwargs)
    except TypeError as exc:
        raise PolicyInvalid(f"{actor.actor_name!r} cannot be called like this: {exc}") from exc
    bound.apply_defaults()
    return bound.arguments


def parameters_hash(actor: Actor[..., Any], message: Call, exclude: frozenset[str] = frozenset()) -> str:
    """Return 128 bits that are the same for the same arguments, whatever the order of keys and sets.

    Arguments must be what msgspec can write as JSON; anything else raises PolicyInvalid.
    """
    named = {name: value for name, value in arguments(actor, message).items() if name not in exclude}
    try:
        # In two steps: `encode` itself can put nothing but keys that are strings in order.
        canonical = msgspec.json.encode(msgspec.to_builtins(named, str_keys=True, order="deterministic"))
    except (TypeError, ValueError, RecursionError) as exc:
        raise PolicyInvalid(f"the arguments of {actor.actor_name!r} cannot be compared: {exc}") from exc
    return short_hash(canonical)


def short_hash(data: bytes) -> str:
    """Return 128 bits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@lru_cache(maxsize=1024)
def signature(fn: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature."""
    return inspect.signature(fn)

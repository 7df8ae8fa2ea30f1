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
        if callable(key):
            return key(*message.args, **message.kwargs)
        return key.format_map(arguments(actor, message)) if "{" in key else key
    except (KeyError, IndexError, AttributeError, TypeError, ValueError) as exc:
        raise PolicyInvalid(f"the key {key!r} does not fit a call of {actor.actor_name!r}: {exc!r}") from exc


def arguments(actor: Actor[..., Any], message: Call) -> dict[str, Any]:
    """Return a call's arguments by the names of the actor's parameters, with their defaults."""
    bound = _signature(inspect.unwrap(actor.fn)).bind(*message.args, **message.kwargs)
    bound.apply_defaults()
    return bound.arguments


def parameters_hash(actor: Actor[..., Any], message: Call, exclude: frozenset[str] = frozenset()) -> str:
    """Return 128 bits that are the same for the same arguments, whatever the order of keys and sets.

    Arguments must be what msgspec can write as JSON; anything else raises PolicyInvalid.
    """
    named = {name: value for name, value in arguments(actor, message).items() if name not in exclude}
    try:
        canonical = msgspec.json.encode(named, order="deterministic")
    except (TypeError, msgspec.MsgspecError) as exc:
        raise PolicyInvalid(f"the arguments of {actor.actor_name!r} cannot be compared: {exc}") from exc
    return hashlib.blake2b(canonical, digest_size=16).hexdigest()


@lru_cache(maxsize=1024)
def _signature(fn: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(fn)

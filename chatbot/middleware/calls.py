"""Reading a call: its arguments by name, the key that a policy makes of them, and a hash that tells calls apart."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from chatbot.errors import PolicyInvalid

if TYPE_CHECKING:
    from dramatiq import Actor
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

    from chatbot.middleware.policies import Key

    Call = Message[Any] | MessageProxy

#: Whole numbers below this are the same as int and as float.
_EXACT = 2**53
#: What is the same in every call that has it.
_PLAIN = frozenset({str, int, bool, type(None)})


def resolve(key: Key, actor: Actor[..., Any], message: Call) -> str | None:
    """Return the key of a call. Raises PolicyInvalid if the key does not fit the call's arguments."""
    try:
        found = key(*message.args, **message.kwargs) if callable(key) else _filled(key, actor, message)
        if isinstance(found, str):
            found.isascii() or found.encode()  # half of a surrogate pair could be in no store
    except (LookupError, AttributeError, TypeError, ValueError) as exc:
        raise PolicyInvalid(f"the key {key!r} does not fit a call of {actor.actor_name!r}: {exc!r}") from exc
    if found is None or isinstance(found, str):
        return found
    raise PolicyInvalid(f"the key {key!r} of {actor.actor_name!r} must be a str or None: {found!r}")


def _filled(template: str, actor: Actor[..., Any], message: Call) -> str:
    return template.format_map(arguments(actor, message)) if "{" in template else template


def arguments(actor: Actor[..., Any], message: Call) -> dict[str, Any]:
    """Return a call's arguments by the names of the actor's parameters, with their defaults."""
    args, kwargs = message.args, message.kwargs
    names = _positional(actor.fn)
    # Most calls fill plain parameters by position; `bind` costs ten times as much.
    if names is not None and not kwargs and len(args) == len(names):
        return dict(zip(names, args, strict=True))
    try:
        bound = signature(inspect.unwrap(actor.fn)).bind(*args, **kwargs)
    except TypeError as exc:
        raise PolicyInvalid(f"{actor.actor_name!r} cannot be called like this: {exc}") from exc
    bound.apply_defaults()
    return bound.arguments


def parameters_hash(actor: Actor[..., Any], message: Call, exclude: frozenset[str] = frozenset()) -> str:
    """Return 128 bits that are the same for the same arguments: whatever the order of keys and sets, 1 is 1.0, and a
    moment is the same in every time zone.

    Arguments must be what msgspec can write as JSON; anything else raises PolicyInvalid.
    """
    named = arguments(actor, message)
    if exclude:
        named = {name: value for name, value in named.items() if name not in exclude}
    try:
        if _PLAIN.issuperset(map(type, named.values())):  # as nearly all are: the same bytes, at a fraction of the cost
            canonical = msgspec.json.encode(dict(sorted(named.items())))
        else:
            canonical = msgspec.json.encode(_canonical(_plain(named)))
    except (TypeError, ValueError, RecursionError) as exc:
        raise PolicyInvalid(f"the arguments of {actor.actor_name!r} cannot be compared: {exc}") from exc
    return short_hash(canonical)


def _plain(value: Any) -> Any:
    # `encode` itself can put nothing but keys that are strings in order.
    in_order = partial(msgspec.to_builtins, value, str_keys=True, order="deterministic")
    try:
        return in_order(builtin_types=(datetime,))
    except TypeError:
        return in_order()  # moments that are keys are compared as text


def _canonical(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _canonical(held) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(held) for held in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC) if value.tzinfo else value
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float | int | str:
    if not math.isfinite(value):
        return f"\0{value}"  # JSON has none of these: msgspec writes null, as for None
    return int(value) if value.is_integer() and abs(value) < _EXACT else value


def record_key(kind: str, name: str, key: str) -> str:
    """Return the key of a standalone record: records of other kinds, names or keys never share it."""
    return f"{_prefix(kind, name)}{key}"


@lru_cache(maxsize=1024)
def _prefix(kind: str, name: str) -> str:
    return f"{kind}:{name.replace('%', '%25').replace(':', '%3A')}:"


def short_hash(data: bytes) -> str:
    """Return 128 bits of BLAKE2b."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


@lru_cache(maxsize=1024)
def _positional(fn: Callable[..., Any]) -> tuple[str, ...] | None:
    """Return the names of a function's parameters, or None if not each of them takes one argument by position."""
    parameters = signature(inspect.unwrap(fn)).parameters.values()
    if all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        return tuple(p.name for p in parameters)
    return None


@lru_cache(maxsize=1024)
def signature(fn: Callable[..., Any]) -> inspect.Signature:
    """Return a function's signature."""
    return inspect.signature(fn)

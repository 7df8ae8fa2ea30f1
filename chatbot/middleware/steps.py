"""Steps of a run that are taken once, however often the run is repeated."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import msgspec

from chatbot.errors import LeaseLost, Permanent, StoreUnavailable
from chatbot.middleware.leases import Held
from chatbot.stores.base import DAY, Lease

T = TypeVar("T")

_scope: ContextVar[tuple[str, Held, int] | None] = ContextVar("chatbot_scope", default=None)


@contextmanager
def scope(name: str, held: Held, ttl: int = DAY) -> Iterator[None]:
    """Let `once` remember steps for `ttl` ms under this name, which every repetition of the run shares."""
    token = _scope.set((name, held, ttl))
    try:
        yield
    finally:
        _scope.reset(token)


def between_runs() -> None:
    """Forget the current run: an interrupt may have come before its end was noted."""
    _scope.set(None)


def once(key: str, fn: Callable[[], T]) -> T:
    """Take a step of the current run once, and return what it returned, on every repetition of the run.

    For actors with several expensive steps; the result must be what JSON can hold, and is kept for a day, or for the
    `ttl` of an idempotent actor's key. Raises LeaseLost outside a guarded run.
    """
    current = _scope.get()
    if current is None:
        raise LeaseLost("once() remembers the steps of a guarded run: there is none here")
    name, held, ttl = current
    store, record, owner = held.heartbeat.store, f"once:{name}/{key}", uuid.uuid4().hex
    since = time.monotonic()
    while (claim := store.claim(record, owner, held.length)).verdict == "busy":
        # A run before this one, whose lease lapsed: it may still be inside this very step.
        held.secure(0)
        time.sleep(min(claim.remaining, 250) / 1000)
        since = time.monotonic()
    if claim.verdict == "done":
        return cast(T, decoded(claim.value))
    with held.heartbeat.holding(Lease("claim", record, owner), held.length, since):
        try:
            value = encoded(fn())
        except BaseException:
            with suppress(StoreUnavailable):
                store.release(record, owner)
            raise
        first = store.settle(record, owner, "", value, ttl, ttl)
    if first is None:
        raise LeaseLost()
    return cast(T, decoded(first))


def encoded(result: object) -> bytes:
    """Return a result as the store keeps it: nothing for None. Raises Permanent if JSON cannot hold it."""
    try:
        return b"" if result is None else msgspec.json.encode(result)
    except (TypeError, ValueError, RecursionError) as exc:
        raise Permanent(f"the result cannot be kept as JSON: {exc}") from exc


def decoded(value: bytes) -> Any:
    """Return a kept result."""
    return msgspec.json.decode(value) if value else None

"""Steps of a run that are taken once, however often the run is repeated."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, TypeVar, cast

import msgspec

from chatbot.errors import LeaseLost, Permanent, StoreUnavailable
from chatbot.middleware.calls import record_key
from chatbot.middleware.leases import Held
from chatbot.stores.values import DAY, Claim, Lease

T = TypeVar("T")

_scope: ContextVar[tuple[str, Held, int] | None] = ContextVar("chatbot_scope", default=None)


class scope:  # noqa: N801 - used as a function; one that yields costs five times as much, for every call
    """Let `once` remember steps for `ttl` ms under this name, which every repetition of the run shares."""

    __slots__ = ("_run", "_token")

    def __init__(self, name: str, held: Held, ttl: int = DAY) -> None:
        self._run = (name, held, ttl)

    def __enter__(self) -> None:
        self._token = _scope.set(self._run)

    def __exit__(self, *_: object) -> None:
        _scope.reset(self._token)


def between_runs() -> None:
    """Forget the current run: an interrupt may have come before its end was noted."""
    _scope.set(None)


def once(key: str, fn: Callable[[], T]) -> T:
    """Take a step of the current run once, and return what it returned, on every repetition of the run.

    For actors with several expensive steps; the result must be what JSON can hold, and is kept for a day, or for the
    `ttl` of an idempotent actor's key. Raises LeaseLost outside a guarded run.
    """
    step = _Step(key)
    claim = step.claim()
    if claim.verdict == "done":
        return cast(T, decoded(claim.value))
    with step.taking():
        return cast(T, decoded(step.settle(encoded(fn()))))


async def once_async(key: str, fn: Callable[[], Awaitable[T]]) -> T:
    """Take an asynchronous step once; see `once`. The event loop goes on while the store is asked."""
    step = _Step(key)
    claim = await asyncio.to_thread(step.claim)
    if claim.verdict == "done":
        return cast(T, decoded(claim.value))
    with step.taking():
        return cast(T, decoded(await asyncio.to_thread(step.settle, encoded(await fn()))))


class _Step:
    """One step of the current run, by one of its repetitions."""

    def __init__(self, key: str) -> None:
        current = _scope.get()
        if current is None:
            raise LeaseLost("once() remembers the steps of a guarded run: there is none here")
        name, self._held, self._ttl = current
        self._store = self._held.heartbeat.store
        self._record, self._owner = record_key("once", name, key), uuid.uuid4().hex
        self._since = 0.0
        self._taken: Held = self._held

    def claim(self) -> Claim:
        """Take the step, or learn what it returned."""
        while True:
            self._since = time.monotonic()
            claim = self._store.claim(self._record, self._owner, self._held.length)
            if claim.verdict != "busy":
                return claim
            # A run before this one, whose lease lapsed: it may still be inside this very step.
            self._held.secure(0)
            time.sleep(min(claim.remaining, 250) / 1000)

    @contextmanager
    def taking(self) -> Iterator[None]:
        """Keep the claim while the step is taken; a step that failed may be taken again at once."""
        lease = Lease("claim", self._record, self._owner)
        with self._held.heartbeat.holding(lease, self._held.length, self._since) as taken:
            self._taken = taken
            try:
                yield
            except BaseException:
                taken.settling = True
                with suppress(StoreUnavailable):
                    self._store.release(self._record, self._owner)
                raise

    def settle(self, value: bytes) -> bytes:
        """Note what the step returned; return what it returned first."""
        self._taken.settling = True
        first = self._store.settle(self._record, self._owner, "", value, self._ttl, self._ttl)
        if first is None:
            raise LeaseLost()
        return first


def encoded(result: object) -> bytes:
    """Return a result as the store keeps it: nothing for None. Raises Permanent if JSON cannot hold it."""
    try:
        return b"" if result is None else msgspec.json.encode(result)
    except (TypeError, ValueError, RecursionError) as exc:
        raise Permanent(f"the result cannot be kept as JSON: {exc}") from exc


def decoded(value: bytes) -> Any:
    """Return a kept result."""
    return msgspec.json.decode(value) if value else None

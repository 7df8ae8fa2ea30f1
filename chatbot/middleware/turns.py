"""A turn as the debounced actor sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chatbot.errors import LeaseLost
from chatbot.middleware.leases import Held
from chatbot.stores.values import Entry

if TYPE_CHECKING:
    from dramatiq.message import Message

_current: ContextVar[Turn | None] = ContextVar("chatbot_turn", default=None)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """A burst of calls that became one run.

    `id` is the same for every attempt, and no other turn ever has it. `attempt` counts from 1. `lost` counts the runs
    whose worker was lost: what they did to the outside is unknown.
    """

    id: str
    key: str
    epoch: int
    attempt: int
    lost: int
    items: Sequence[Any]
    follow_ups: list[Message[Any]] = field(default_factory=list)
    held: Held | None = None

    def then(self, message: Message[Any]) -> None:
        """Leave a call for another debounced actor with the same subject, in the same step as this turn's settlement:
        all that a turn leaves is stored, once and in order, or none of it."""
        self.follow_ups.append(message)

    def secure(self, seconds: float) -> None:
        """Make sure, before an effect that cannot be taken back, that this run is the only one for `seconds` to come.

        Raises LeaseLost if it is not: then somebody else runs the turn, and this run must have no effect.
        """
        if self.held is None:
            raise LeaseLost("this turn does not run under a lease")
        self.held.secure(seconds)


def current_turn() -> Turn | None:
    """Return the turn that this thread runs; None outside a debounced actor."""
    return _current.get()


@contextmanager
def running(turn: Turn) -> Iterator[None]:
    """Make a turn the current one."""
    token = _current.set(turn)
    try:
        yield
    finally:
        _current.reset(token)


def turn_id(key: str, entries: Sequence[Entry]) -> str:
    """Return 128 bits over a turn's key and its members' arrivals and ids: the same members on another day differ."""
    members = "".join(f"\n{entry.arrived} {entry.digest}" for entry in entries)
    return hashlib.blake2b(f"{key}{members}".encode(), digest_size=16).hexdigest()


def between_runs() -> None:
    """Forget the current turn: an interrupt may have come before its end was noted."""
    _current.set(None)

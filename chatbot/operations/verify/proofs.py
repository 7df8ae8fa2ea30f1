"""What `verify` shows: one proof a line, each with what was sent, what came of it, and how long that took."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct


class Proof(Struct, frozen=True, kw_only=True):
    """One property of the deployment. `held` is None where it could not be seen; `seconds` is how long it took."""

    name: str
    held: bool | None
    sent: str
    came: str
    seconds: float = 0.0
    cure: str = ""


class Report(Struct, frozen=True, kw_only=True):
    """All proofs. `ledger` says whether the store could be asked, or only answers to webhooks were seen."""

    url: str
    channel: str
    conversation: str
    ok: bool
    ledger: bool
    seconds: float
    proofs: list[Proof]
    notes: list[str] = []


class Watch:
    """How long something took, in s."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """Return the time until it ended, or until now."""
        return round((self._ended or time.monotonic()) - self._began, 3)

    def stop(self) -> None:
        """It has ended."""
        self._ended = time.monotonic()


@contextmanager
def watch() -> Iterator[Watch]:
    """Time a block."""
    watched = Watch()
    yield watched
    watched.stop()

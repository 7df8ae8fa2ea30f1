"""What every benchmark is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BROKERS = ("redis", "rabbitmq")


def silent(_: str) -> None:
    """Show no progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How long to measure, on which brokers, and where to show progress. `quick` takes less than a minute a broker."""

    quick: bool = False
    brokers: tuple[str, ...] = ("redis",)
    rounds: int | None = None
    say: Callable[[str], None] = silent

    def pick(self, quick: int, full: int) -> int:
        """Return how many of something to do."""
        return quick if self.quick else full

    def turns(self, quick: int, full: int) -> int:
        """Return in how many rounds to measure."""
        return self.rounds or self.pick(quick, full)

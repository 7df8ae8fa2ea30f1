"""Which benchmarks there are, and what each is told. Importing this loads nothing else: `--help` shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BROKERS = ("redis", "rabbitmq")
#: Each is a module beside this one, with `run(options) -> Report`.
BENCHMARKS = {
    "accept": "signed webhooks a second of one web process, and how long they wait",
    "wake": "from a send until an idle worker starts",
    "debounce": "from the end of a burst's quiet time until it is worked on",
    "work": "calls and turns a second of one worker process",
    "recover": "from kill -9 of a worker until another one runs what it held",
    "grow": "accepting with a million ids and 100,000 windows in the store",
    "storm": "ten thousand windows due in the same second",
    "memory": "bytes of a remembered id and of an open window",
    "start": "from the start of a process until it is of use; what an idle one asks",
    "slow": "100 and 1,000 answers of five seconds at a time, in one process",
    "soak": "a million webhooks through the whole service: nothing lost, memory flat",
    "brokers": "Redis and RabbitMQ side by side",
    "peers": "the same work on plain Dramatiq, Celery and taskiq",
}


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

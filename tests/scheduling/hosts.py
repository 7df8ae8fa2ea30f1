"""Several hosts that share a store and a broker: each has a scheduler and a clock of its own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import dramatiq
from dramatiq.middleware import CurrentMessage, Middleware

from chatbot.brokers import create
from chatbot.middleware import declare, guarded_stack
from chatbot.scheduling import Periodic, Scheduler, cron
from chatbot.stores.redis import RedisStore

#: 2026-01-31 12:00:00 UTC, a Saturday.
NOON = 1_769_860_800
NAMES = itertools.count()


class Clock:
    """Shows what it is set to, in s."""

    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Ledger:
    """What happened: every publication, and every run, by its tick."""

    def __init__(self) -> None:
        self.published: list[str] = []
        self.runs: list[str | None] = []


class Published(Middleware):
    """Notes each tick that has reached the broker; a retry is no publication."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def after_enqueue(self, broker: Any, message: Any, delay: Any) -> None:
        if not message.options.get("retries"):
            self.ledger.published.append(message.options["scheduled_at"])


class Host:
    """One process's share: a store's client, a broker, one periodic actor `tidy`, and a scheduler."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        clock: Clock | Callable[[], float] | None = None,
        spec: str = "* * * * *",
        body: Callable[[], None] | None = None,
        middleware: Middleware | None = None,
        actor: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self.clock = clock or cluster.clock
        self.store = RedisStore(cluster.store_url, namespace=cluster.name)
        extra = [middleware] if middleware else []
        stack = [Periodic(self.store, now=self.clock), CurrentMessage(), *guarded_stack(self.store)]
        self.broker = create(cluster.broker_url, [*stack, *extra, Published(cluster.ledger)])
        self.ledger = cluster.ledger

        def tidy() -> None:
            message = CurrentMessage.get_current_message()
            assert message is not None
            self.ledger.runs.append(message.options.get("scheduled_at"))
            if body:
                body()

        self.tidy = declare(
            self.broker, tidy, queue_name=cluster.queue, periodic=cron(spec), min_backoff=1, **(actor or {})
        )
        self.scheduler = Scheduler(self.broker, self.store, now=self.clock, **options)

    def work(self, until: Callable[[], bool], timeout: float = 20) -> None:
        """Run what is in the broker until something holds, and then what is left."""
        from tests.waiting import wait_until

        worker = dramatiq.Worker(self.broker, queues={self.tidy.queue_name}, worker_threads=2, worker_timeout=100)
        worker.start()
        try:
            wait_until(until, timeout, f"{len(self.ledger.runs)} runs: {self.ledger.runs[-5:]}")
            self.broker.join(self.tidy.queue_name, timeout=10_000)
        finally:
            worker.stop()

    def close(self) -> None:
        self.broker.close()
        self.store.close()


class Cluster:
    """A store and a broker, with names that nobody else uses."""

    def __init__(self, store_url: str, broker_url: str) -> None:
        self.store_url, self.broker_url = store_url, broker_url
        self.name = f"ticks-{os.getpid()}-{next(NAMES)}"
        self.queue = f"{self.name}-low"
        self.clock, self.ledger = Clock(), Ledger()
        self.hosts: list[Host] = []

    def host(self, **options: Any) -> Host:
        self.hosts.append(Host(self, **options))
        return self.hosts[-1]

    def close(self) -> None:
        for host in self.hosts:
            host.close()


def minutes(*offsets: int) -> list[str]:
    """Return the names of the ticks so many minutes after noon."""
    from chatbot.scheduling.ticks import stamp

    return [stamp(NOON + 60 * offset) for offset in offsets]

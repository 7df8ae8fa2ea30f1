"""A queue on a RabbitMQ that may die, its workers, and what they wrote down."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq

from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.brokers.rabbitmq_queues import QueueType
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.brokers.rabbitmq_worker import runner
from tests.servers import RabbitmqServer

#: In the child, as many messages are fetched as run: the next ones come only for acknowledgements that have arrived.
THREADS = 4


class House:
    """A queue on a server that may die, worked on by this process and by a child, who write into one log."""

    def __init__(
        self, server: RabbitmqServer, directory: Path, *, urls: str | None = None, queue_type: QueueType = "quorum"
    ) -> None:
        self.server, self.url, self._queue_type = server, urls or server.url, queue_type
        self.log, self.gate = directory / "runs", directory / "gate"
        self.queue = f"run-{uuid.uuid4().hex[:8]}"
        self.log.touch()
        self._exit = contextlib.ExitStack()
        self.broker = self.create()
        self.actor = self.declare(self.broker)

    def create(self, **options: Any) -> Any:
        """Return a further broker object, as another process would have."""
        options = {"url": self.url, "queue_type": self._queue_type, "heartbeat": 1, **options}
        broker: Any = RabbitmqBroker(middleware=guarded_stack(MemoryStore()), **options)
        self._exit.callback(broker.close)
        return broker

    def declare(self, broker: Any) -> Any:
        """Return the actor of a broker object."""
        run = runner(self.log, self.gate, "parent")
        return declare(broker, run, actor_name="run", queue_name=self.queue, max_retries=0)

    def send(self, numbers: range, **options: Any) -> None:
        """Send calls as one batch."""
        self.broker.enqueue_many([self.actor.message(number, **options) for number in numbers])

    def runs(self, what: str = "end", who: str = "") -> Counter[int]:
        """Return how often each call was started, or has ended."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return Counter(int(number) for name, verb, number, _ in lines if verb == what and name.startswith(who))

    def times(self, what: str = "start") -> dict[int, float]:
        """Return when each call was started last."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return {int(number): float(at) for _, verb, number, at in lines if verb == what}

    @contextlib.contextmanager
    def working(self) -> Iterator[dramatiq.Worker]:
        """Work in this process."""
        worker = dramatiq.Worker(self.broker, worker_threads=2)
        worker.queue_prefetch = 2  # as in the child: two that run mean that all before them have been acknowledged
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=10_000)

    def child(self, prefetch: int = THREADS) -> subprocess.Popen[bytes]:
        """Work in a process of its own, which ends with the test."""
        script = Path(__file__).with_name("rabbitmq_worker.py")
        arguments = [self.url, self.queue, str(self.log), str(self.gate), "1", self._queue_type]
        child = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            env={**os.environ, "dramatiq_queue_prefetch": str(prefetch)},
        )
        self._exit.callback(_end, child)
        return child

    def close(self) -> None:
        """Leave nothing behind."""
        self._exit.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert child.stdin is not None
    child.stdin.close()

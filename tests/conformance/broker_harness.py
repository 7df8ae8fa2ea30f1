"""The brokers that the conformance suite runs against, each with a way to look into its queues from outside.

A further broker is one class here that finds its queues, and one line in BROKERS.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pika
import pika.exceptions
import pytest
import redis
from dramatiq.brokers.rabbitmq import RabbitmqBroker as StockRabbitmqBroker
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker
from dramatiq.brokers.stub import StubBroker as StockStubBroker
from dramatiq.common import dq_name, xq_name
from dramatiq.middleware import Middleware
from dramatiq.results import ResultBackend, Results
from dramatiq.results.backends import StubBackend

from chatbot import brokers
from chatbot.brokers import rabbitmq_delays, rabbitmq_queues
from chatbot.brokers.admission import Admission
from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.brokers.stub import StubBroker
from chatbot.middleware import guarded_stack
from chatbot.stores.base import Store
from chatbot.stores.memory import MemoryStore
from tests.servers import PrivateServer, RabbitmqServer

NUMBERS = itertools.count()
#: Plain actors fail fast in tests: both are ms.
QUICK = {"min_backoff": 1, "max_backoff": 5}


class Transport(ABC):
    """One kind of broker on one server. Every test has queues of its own."""

    def __init__(self) -> None:
        self._prefix = f"q{os.getpid()}-{next(NUMBERS)}"
        self._exit = contextlib.ExitStack()
        self.queues: set[str] = set()

    # --- what a kind of broker says ---
    @abstractmethod
    def create(self, middleware: list[Middleware]) -> Admission:
        """Return a broker object, as another process would have."""

    @abstractmethod
    def create_stock(self) -> dramatiq.Broker:
        """Return a broker object of plain Dramatiq, on the same server."""

    @abstractmethod
    def waiting(self, queue: str) -> int:
        """Return how many messages a queue and its delay queue hold that no consumer has."""

    @abstractmethod
    def dead(self, queue: str) -> list[dramatiq.Message[Any]]:
        """Return a queue's dead letters."""

    @abstractmethod
    def clean(self) -> None:
        """Delete the queues of this test."""

    def close_stock(self, broker: Any) -> None:
        """Close a broker of plain Dramatiq, its connections included."""
        broker.close()

    # --- what tests say ---
    def queue(self, name: str = "q") -> str:
        """Return the name of a queue that no other test has."""
        self.queues.add(f"{self._prefix}-{name}")
        return f"{self._prefix}-{name}"

    def broker(
        self, *middleware: Middleware, store: Store | None = None, results: ResultBackend | None = None
    ) -> Admission:
        """Return a broker object with our guards on a store, and stored results, as a process of its own would have."""
        guards = guarded_stack(store or MemoryStore())
        broker = self.create([*guards, Results(backend=results or StubBackend()), *middleware])
        self._exit.callback(broker.close)
        return broker

    def stock(self) -> dramatiq.Broker:
        """Return a broker object of plain Dramatiq with its default middleware."""
        broker = self.create_stock()
        self._exit.callback(self.close_stock, broker)
        return broker

    @contextmanager
    def worker(
        self, broker: dramatiq.Broker, *, queues: set[str] | None = None, threads: int = 2, timeout: int = 40
    ) -> Iterator[dramatiq.Worker]:
        """Run a worker that looks up every `timeout` ms."""
        worker = dramatiq.Worker(broker, queues=queues, worker_threads=threads, worker_timeout=timeout)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=10_000)

    def close(self) -> None:
        """Leave nothing behind."""
        try:
            self.clean()
        finally:
            self._exit.close()


class StubTransport(Transport):
    """All broker objects of a test share one memory, as they would share a server."""

    def __init__(self) -> None:
        super().__init__()
        self._server = StockStubBroker(middleware=[])

    def create(self, middleware: list[Middleware]) -> Admission:
        return self._on_server(StubBroker(middleware=middleware))

    def create_stock(self) -> dramatiq.Broker:
        return self._on_server(StockStubBroker())

    def _on_server(self, broker: Any) -> Any:
        for shared in ("queues", "delay_queues", "dead_letters_by_queue"):
            setattr(broker, shared, getattr(self._server, shared))
        return broker

    def waiting(self, queue: str) -> int:
        return sum(self._server.queues[name].qsize() for name in (queue, dq_name(queue)))

    def dead(self, queue: str) -> list[dramatiq.Message[Any]]:
        return [proxy._message for proxy in self._server.dead_letters_by_queue[queue]]

    def clean(self) -> None:
        pass


class RedisTransport(Transport):
    """Redis and whatever speaks like it."""

    def __init__(self, server: PrivateServer) -> None:
        super().__init__()
        self.server = server
        self._client = self._exit.enter_context(contextlib.closing(redis.Redis.from_url(server.url)))

    def create(self, middleware: list[Middleware]) -> Admission:
        return brokers.create(self.server.url, middleware)

    def create_stock(self) -> dramatiq.Broker:
        return StockRedisBroker(url=self.server.url)

    def close_stock(self, broker: Any) -> None:
        broker.client.close()
        broker.client.connection_pool.disconnect()

    def waiting(self, queue: str) -> int:
        return sum(self._client.llen(f"dramatiq:{name}") for name in (queue, dq_name(queue)))

    def dead(self, queue: str) -> list[dramatiq.Message[Any]]:
        return [dramatiq.Message.decode(data) for data in self._client.hvals(f"dramatiq:{xq_name(queue)}.msgs")]

    def clean(self) -> None:
        for queue in self.queues:
            names = (queue, dq_name(queue), xq_name(queue))
            self._client.delete(*(f"dramatiq:{name}{part}" for name in names for part in ("", ".msgs")))


class RabbitmqTransport(Transport):
    """Quorum or classic queues; delays are on the ladder that all queues of a server share."""

    def __init__(self, server: PrivateServer, kind: Any = "quorum") -> None:
        super().__init__()
        self.server, self._kind = server, kind

    @classmethod
    def private(cls) -> RabbitmqTransport:
        """Start a server that the test may kill."""
        server = RabbitmqServer()
        transport = cls(server)
        transport._exit.enter_context(server)
        return transport

    def create(self, middleware: list[Middleware]) -> Admission:
        return RabbitmqBroker(url=self.server.url, middleware=middleware, queue_type=self._kind)

    def create_stock(self) -> dramatiq.Broker:
        kind = QuorumStockBroker if self._kind == "quorum" else StockRabbitmqBroker
        return kind(url=self.server.url, confirm_delivery=True)

    @contextmanager
    def channel(self) -> Iterator[Any]:
        """A channel of a connection of its own."""
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.server.url))) as connection:
            yield connection.channel()

    def waiting(self, queue: str) -> int:
        return sum(self._size(name) for name in (queue, dq_name(queue))) + self.on_ladder(queue)

    def _size(self, name: str) -> int:
        with self.channel() as channel, contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            return int(channel.queue_declare(name, passive=True).method.message_count)
        return 0  # queues are declared by the first message or consumer

    def on_ladder(self, queue: str) -> int:
        """Return how many messages for a queue are delayed."""
        found = 0
        with self.channel() as channel, contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            for step in rabbitmq_delays.queues():
                if channel.queue_declare(step, passive=True).method.message_count == 0:
                    continue
                while (method := channel.basic_get(step)[0]) is not None:
                    found += method.routing_key.endswith(f".{queue}")
        return found

    def dead(self, queue: str) -> list[dramatiq.Message[Any]]:
        found = []
        with self.channel() as channel, contextlib.suppress(pika.exceptions.ChannelClosedByBroker):
            # Unacknowledged, so they are back when the connection closes.
            while (body := channel.basic_get(xq_name(queue))[2]) is not None:
                found.append(dramatiq.Message.decode(body))
        return found

    def clean(self) -> None:
        with self.channel() as channel:
            for queue in self.queues:
                for name in (queue, dq_name(queue), xq_name(queue)):
                    channel.queue_delete(name)


class QuorumStockBroker(StockRabbitmqBroker):
    """Plain Dramatiq as it must be told that queues are quorum queues."""

    def _build_queue_arguments(self, queue_name: str) -> dict[str, Any]:
        return rabbitmq_queues.arguments(queue_name, "quorum")

    def _declare_xq_queue(self, queue_name: str) -> Any:
        arguments = rabbitmq_queues.dead_letter_arguments("quorum")
        return self.channel.queue_declare(xq_name(queue_name), durable=True, arguments=arguments)


Factory = Callable[[pytest.FixtureRequest], Transport]

BROKERS: dict[str, Factory] = {
    "stub": lambda _: StubTransport(),
    "redis": lambda request: RedisTransport(request.getfixturevalue("redis_server")),
    "valkey": lambda request: RedisTransport(request.getfixturevalue("valkey_server")),
    "rabbitmq": lambda request: RabbitmqTransport(request.getfixturevalue("rabbitmq_server")),
    "rabbitmq-classic": lambda request: RabbitmqTransport(request.getfixturevalue("rabbitmq_server"), "classic"),
}

#: The same on servers that a test may kill.
MORTAL: dict[str, Factory] = {
    "redis": lambda request: RedisTransport(request.getfixturevalue("private_redis")()),
    "rabbitmq": lambda _: RabbitmqTransport.private(),
}

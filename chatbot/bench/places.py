"""Where a benchmark runs: private servers, and a broker's and a store's URL on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pika
import pika.exceptions
import redis

from chatbot.bench.machine import program_version
from chatbot.bench.rabbitmq_server import RabbitmqServer
from chatbot.bench.servers import RedisServer, find_store
from chatbot.stores.redis import RedisStore

#: A rewrite of the log would fall into one side's round and not into the other's.
STORE_OPTIONS = ("--auto-aof-rewrite-percentage", "0")


@dataclass(frozen=True, slots=True)
class Place:
    """A store's server, and the broker beside it: another database of the same server, or a RabbitMQ."""

    kind: str
    server: RedisServer
    broker_server: RedisServer | RabbitmqServer

    @property
    def store(self) -> str:
        return self.server.url

    @property
    def broker(self) -> str:
        return self.broker_of(1)

    @property
    def stock(self) -> str:
        """Where the stock side's broker is: a database of its own, so that the sides share no key."""
        return self.broker_of(2)

    def broker_of(self, number: int) -> str:
        """Return the broker's URL for one of several sides."""
        if isinstance(self.broker_server, RabbitmqServer):
            return self.broker_server.url
        return self.broker_server.url.rpartition("/")[0] + f"/{number}"

    def waiting(self, queue: str, url: str) -> int:
        """Return how many messages wait in a queue of the broker."""
        with counting(queue, url) as count:
            return count()

    def open_windows(self, namespace: str = "chatbot") -> int:
        """Return how many conversations have something open in the store."""
        with ledger(self.store, namespace) as store:
            return sum(part.open for part in store.survey())


@contextlib.contextmanager
def counting(queue: str, url: str) -> Iterator[Callable[[], int]]:
    """Open a connection on which a queue's messages can be counted, often."""
    if not url.startswith("amqp"):
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            yield lambda: int(client.llen(f"dramatiq:{queue}"))
        return
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        yield lambda: _counted(connection, queue)


def _counted(connection: pika.BlockingConnection, queue: str) -> int:
    channel = connection.channel()
    try:
        count = int(channel.queue_declare(queue, passive=True).method.message_count)
    except pika.exceptions.ChannelClosedByBroker:
        return 0  # nobody has sent to it
    channel.close()
    return count


@contextlib.contextmanager
def place(kind: str, *, apart: bool = False) -> Iterator[Place]:
    """Start the servers for one broker. `apart`: a Redis broker gets a server of its own, whose work can be told."""
    with contextlib.ExitStack() as stack:
        server = started(stack)
        if kind == "redis":
            yield Place(kind, server, started(stack) if apart else server)
            return
        rabbitmq = RabbitmqServer()
        stack.enter_context(rabbitmq)
        yield Place(kind, server, rabbitmq)


def started(stack: contextlib.ExitStack) -> RedisServer:
    """Start a store that ends with the stack."""
    server = RedisServer(find_store(), *STORE_OPTIONS)
    stack.enter_context(server)
    return server


@contextlib.contextmanager
def ledger(url: str, namespace: str = "chatbot") -> Iterator[RedisStore]:
    """Open a store."""
    store = RedisStore(url, namespace=namespace)
    try:
        yield store
    finally:
        store.close()


def settings(kinds: tuple[str, ...]) -> dict[str, str | int | float]:
    """Say how the servers are set up."""
    shown: dict[str, str | int | float] = {
        "store": f"{program_version(find_store(), '--version')}; appendonly yes, appendfsync always, no log rewrites"
    }
    if "rabbitmq" in kinds:
        shown["rabbitmq"] = "one node, one scheduler; ours: quorum queues, stock: classic durable; confirms on both"
    return shown

"""The Redis broker: Dramatiq's keys, with leases, delays kept on the server, and consumers that wait there.

Keys, after the namespace: a queue's list `q` and bodies `q.msgs`, its dead letters `q.XQ` and `q.XQ.msgs`, and
`__heartbeats__` and `__acks__.<worker>.<q>` are Dramatiq's. Ours are `q.delayed` (when, by id; bodies in `q.DQ.msgs`),
`q.held` (the token of each delivery), `__workers__` (leases), `__fetches__.<worker>` and the lists `__wake__`.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from dramatiq.broker import Broker, MessageProxy
from dramatiq.brokers import redis as stock
from dramatiq.common import current_millis, dq_name, q_name
from dramatiq.middleware import Middleware, SkipMessage
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatbot.brokers.admission import Admission, Publication
from chatbot.brokers.redis_clients import close_client, create_client, is_cluster, socket_timeout, tagged, wrapped
from chatbot.brokers.redis_consumer import NoDeliveries, RedisConsumer
from chatbot.brokers.redis_deliveries import Delivery, Holdings
from chatbot.brokers.redis_scripts import Scripts
from chatbot.brokers.redis_steward import Steward

if TYPE_CHECKING:
    from dramatiq.broker import Consumer
    from dramatiq.message import Message

#: s.
PING_TIMEOUT = 2.0
LONGEST_WAIT = 2.5
HEARTBEAT, LEASE = 2.0, 7.0
#: Messages that one script publishes: the server does nothing else meanwhile.
BATCH = 500


class RedisBroker(Admission, stock.RedisBroker):
    """A drop-in for dramatiq.brokers.redis.RedisBroker.

    `url` as in redis_clients, or `client`, or redis-py's own parameters, which a URL's options replace. A worker renews
    its lease every `heartbeat` s; `lease` s after the last time, others take over what it holds. `heartbeat_timeout`
    (ms) is the same for workers of plain Dramatiq. Dead letters are kept for `dead_message_ttl` ms.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        middleware: list[Middleware] | None = None,
        namespace: str = "dramatiq",
        maintenance_chance: int = 0,  # nothing is left to chance: accepted so that this is a drop-in
        heartbeat_timeout: int = stock.DEFAULT_HEARTBEAT_TIMEOUT,
        dead_message_ttl: int = stock.DEFAULT_DEAD_MESSAGE_TTL,
        heartbeat: float = HEARTBEAT,
        lease: float = LEASE,
        client: Any = None,
        **parameters: Any,
    ) -> None:
        Broker.__init__(self, middleware=middleware)
        self.broker_id = str(uuid4())
        self.namespace = tagged(namespace) if is_cluster(url, client) else namespace
        self.maintenance_chance = maintenance_chance
        self.heartbeat_timeout, self.dead_message_ttl = heartbeat_timeout, dead_message_ttl
        self.heartbeat, self.lease = heartbeat, lease
        self.queues: set[str] = set()
        #: A worker's threads are to end.
        self.stopping = False
        self._url, self._parameters = url, parameters
        self._owns_client = client is None
        self._connected = client if client or is_cluster(url) else create_client(url, **parameters)
        self._lock = threading.RLock()
        self._consumers: set[RedisConsumer] = set()
        self._holdings: dict[str, Holdings] = {}
        self._steward: Steward | None = None
        self.scripts: Any = Scripts(lambda: self.client, self.namespace)

    # --- connecting ---
    @property
    def client(self) -> Any:  # type: ignore[override]  # Dramatiq's own sets it once
        """The redis-py client. A cluster's connects when it is made, so it is made when it is needed."""
        if self._connected is None:
            with self._lock:
                self._connected = self._connected or create_client(self._url, **self._parameters)
        return self._connected

    @property
    def longest_wait(self) -> float:
        """For how long a command may block, in s: shorter than the client's socket timeout, which the URL may set."""
        timeout = socket_timeout(self.client)
        return min(LONGEST_WAIT, timeout / 2) if timeout else LONGEST_WAIT

    def ping(self) -> None:
        """Raise ConnectionClosed unless the server answers."""
        if self._url is None or is_cluster(self._url):
            with wrapped():
                self.client.ping()
            return
        impatient = {"socket_timeout": PING_TIMEOUT, "retry": Retry(NoBackoff(), 0)}
        with wrapped(), closing(create_client(self._url, **{**self._parameters, **impatient})) as client:
            client.ping()

    def close(self) -> None:
        """Give up the lease and close all connections; it can be used again."""
        self._end_steward()
        if self._owns_client and self._connected is not None:
            close_client(self._connected)

    # --- queues ---
    def do_qsize(self, queue_name: str) -> int:
        """Return how many messages of a queue are not done, delayed ones included."""
        return int(self.scripts("size", q_name(queue_name)))

    def do_purge(self, queue_name: str) -> None:
        """Drop a queue's messages."""
        self.scripts("purge", q_name(queue_name))

    # --- publishing ---
    def _publish_all(self, messages: Sequence[Message[Any]], delay: int | None) -> Publication:
        published: list[Message[Any]] = []
        for start in range(0, len(messages), BATCH):
            ready, refusal = self._prepare(messages[start : start + BATCH], delay)
            try:
                self._send(ready, delay)
            except BaseException as exc:
                return Publication(published, len(ready), exc)
            published += ready
            if refusal is not None:
                return Publication(published, 1, refusal)
        return Publication(published)

    def _prepare(
        self, messages: Sequence[Message[Any]], delay: int | None
    ) -> tuple[list[Message[Any]], BaseException | None]:
        """Return what may be sent, up to the message that a middleware refuses."""
        ready: list[Message[Any]] = []
        for message in messages:
            try:
                copy = _addressed(message, delay)
                self.logger.debug("Enqueueing message %r on queue %r.", copy.message_id, copy.queue_name)
                self.emit_before("enqueue", copy, delay)
            except BaseException as exc:
                return ready, exc
            ready.append(copy)
        return ready, None

    def _send(self, messages: Sequence[Message[Any]], delay: int | None) -> None:
        args: list[str | bytes | int] = []
        for message in messages:
            ms = "" if delay is None else delay
            args += [q_name(message.queue_name), message.options["redis_message_id"], ms, message.encode()]
        if args:
            self.scripts("enqueue", *args)
        for message in messages:
            self.emit_after("enqueue", message, delay)

    # --- consuming ---
    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5_000) -> Consumer:
        """Return a consumer; the first one takes a lease for this process. `timeout` (ms) ends a wait in vain.

        That of a delay queue hands nothing out: delayed messages wait on the server.
        """
        if queue_name == dq_name(queue_name):
            return NoDeliveries(self, timeout)
        with self._lock:
            consumer = RedisConsumer(self, queue_name, prefetch, timeout)
            self._consumers.add(consumer)
            self.steward  # noqa: B018 - started here
            return consumer

    @property
    def steward(self) -> Steward:
        """The thread that keeps this process's lease."""
        with self._lock:
            if self._steward is None:
                self._steward = Steward(
                    self.broker_id, lambda: self.client, self.scripts, self.namespace,
                    heartbeat=min(self.heartbeat, self.longest_wait), lease=self.lease,
                    timeouts=(self.heartbeat_timeout, self.dead_message_ttl),
                    queues=lambda: list(self._holdings), on_lost=self._drop_holdings,
                )  # fmt: skip
                self._steward.start()
            return self._steward

    def holdings(self, queue_name: str) -> Holdings:
        """Return what this process holds of a queue."""
        with self._lock:
            return self._holdings.setdefault(queue_name, Holdings())

    def consumer_closed(self, consumer: RedisConsumer) -> None:
        """The last one that is closed ends the lease."""
        with self._lock:
            self._consumers.discard(consumer)
            last = not self._consumers
        if last:
            self._end_steward()
            if self.stopping:
                self._leave_behind()

    def _leave_behind(self) -> None:
        """What could not be given back is for others, once the lease has lapsed under which it was fetched. A worker
        that comes later would renew it, so it gets a name of its own."""
        if any(self._holdings.values()):
            self._drop_holdings()
            self.broker_id = str(uuid4())

    def _end_steward(self) -> None:
        with self._lock:
            steward, self._steward = self._steward, None
        if steward is not None:
            steward.stop()

    def _drop_holdings(self) -> None:
        with self._lock:
            dropped = sum(holdings.clear() for holdings in self._holdings.values())
        if dropped:
            self.logger.warning("Others have taken over %d messages that this process held.", dropped)

    # --- the worker's signals ---
    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if signal == "process_message":
            self._confirm(args[0])
        elif signal in ("worker_boot", "worker_shutdown"):
            self.stopping = signal == "worker_shutdown"
        super().emit_before(signal, *args, **kwargs)

    def _confirm(self, message: MessageProxy) -> None:
        """Let a message run only while it is this process's: after a pause others may have run it."""
        if not isinstance(message, Delivery):
            return
        while not self.stopping and not self.steward.holds_lease(self.heartbeat):
            pass
        steward = self._steward  # gone, if this thread outlives its worker's consumers
        if steward is None or not steward.holds_lease(0):
            message.unacknowledged = True
        elif message in self.holdings(message.queue_name):
            return
        message.options["store_results"] = False
        raise SkipMessage("another worker may have it by now")


def _addressed(message: Message[Any], delay: int | None) -> Message[Any]:
    """Return a copy with an id of its own, as retries share their message's, and if it is delayed as one of a DQ."""
    copy = message.copy(options={"redis_message_id": str(uuid4())})
    if delay is None:
        return copy
    return copy.copy(queue_name=dq_name(message.queue_name), options={"eta": current_millis() + delay})

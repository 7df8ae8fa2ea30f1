"""The RabbitMQ broker: every publication is confirmed, delays live on the server, and queues are quorum queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

import pika
import pika.exceptions
from dramatiq.brokers import rabbitmq as stock
from dramatiq.common import current_millis, dq_name, q_name, xq_name
from dramatiq.errors import BrokerError, ConnectionClosed
from dramatiq.middleware import SkipMessage

from chatbot.brokers import rabbitmq_delays as delays
from chatbot.brokers import rabbitmq_queues as queues
from chatbot.brokers.admission import Admission, Publication
from chatbot.brokers.rabbitmq_consumer import RabbitmqConsumer, RabbitmqMessage, pauses
from chatbot.brokers.rabbitmq_nodes import HEARTBEAT, AccessRefused, Nodes
from chatbot.brokers.rabbitmq_outcomes import closed, publication
from chatbot.brokers.rabbitmq_publisher import Envelope, Fate, Publisher
from chatbot.brokers.rabbitmq_queues import QueueType
from chatbot.errors import ConfigurationError
from chatbot.urls import reading

if TYPE_CHECKING:
    from dramatiq.broker import Consumer
    from dramatiq.message import Message

#: s. What the server refuses, or no node takes, is tried again for so long.
RETRY_FOR = 3.0
#: s. A confirm that takes longer, because the server is blocked or elects a leader, counts as lost.
CONFIRM_TIMEOUT = 10.0


class RabbitmqBroker(Admission, stock.RabbitmqBroker):
    """A drop-in for dramatiq.brokers.rabbitmq.RabbitmqBroker; `url` may name several nodes, separated by `;`.

    `queue_type` is what queues are declared as; "classic" ones are plain Dramatiq's. `heartbeat` (s), unless a node's
    URL sets it, is how long a silent connection is trusted. The server confirms every publication: one that it refuses
    is repeated for `retry_for` s, and one that it says nothing about within `confirm_timeout` s raises. The further
    options are Dramatiq's: `parameters`, `max_priority` (classic queues only), or pika's own by name.
    """

    def __init__(
        self,
        *,
        url: str | list[str] | None = None,
        queue_type: QueueType = "quorum",
        heartbeat: int = HEARTBEAT,
        retry_for: float = RETRY_FOR,
        confirm_timeout: float = CONFIRM_TIMEOUT,
        confirm_delivery: bool = True,
        **options: Any,
    ) -> None:
        if queue_type not in get_args(QueueType):
            raise ConfigurationError(f"a RabbitMQ queue is of the type quorum or classic, not {queue_type!r}")
        if queue_type == "quorum" and options.get("max_priority") is not None:
            raise ConfigurationError("quorum queues have no max_priority: use classic queues, or a queue per priority")
        if not confirm_delivery:
            raise ConfigurationError("confirm_delivery cannot be off: what is not confirmed may be lost")
        with reading("CHATBOT_BROKER_URL"):
            super().__init__(url=None if url is None else _nodes(url), confirm_delivery=True, **options)
        self.queue_type, self._retry_for = queue_type, retry_for
        self.nodes = Nodes(self.parameters if isinstance(self.parameters, list) else [self.parameters], heartbeat)
        self.publisher = Publisher(self.nodes, confirm_timeout)
        self._declaring = threading.Lock()
        self._has_ladder = False

    @property
    def consumer_class(self) -> type[RabbitmqConsumer]:
        return RabbitmqConsumer

    def ping(self) -> None:
        """Raise ConnectionClosed unless a node accepts a connection."""
        self.nodes.ping()

    def close(self) -> None:
        """Close every connection but the consumers', which are their workers'."""
        self.publisher.close()
        super().close()

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 5_000) -> Consumer:
        """Return a consumer, which connects again by itself. That of a delay queue hands nothing out: it moves what
        plain producers delay to where it waits on the server."""
        self.declare_queue(queue_name)
        return self.consumer_class(self, queue_name, prefetch, timeout)

    def prepare(self, queue_name: str) -> None:
        """Declare what a consumer of a queue needs. Raises ConnectionClosed, or QueueMismatch."""
        self._ensure_queue(q_name(queue_name))
        if queue_name == dq_name(queue_name):
            self._ensure_ladder()

    def emit_before(self, signal: str, *args: Any, **kwargs: Any) -> None:
        if signal == "process_message" and isinstance(args[0], RabbitmqMessage) and not args[0].is_ours():
            # It has waited in this process while its connection was lost: somebody else may have run it by now.
            args[0].options["store_results"] = False
            raise SkipMessage("the server has taken the message back")
        super().emit_before(signal, *args, **kwargs)

    # --- publishing ---
    def envelope(self, message: Message[Any], queue: str, eta: float | None = None) -> Envelope:
        """Return a message on its way to a queue, where it arrives not before `eta` (ms)."""
        message = message.copy(queue_name=queue)
        message.options.pop("eta", None)
        wait = 0 if eta is None else int(eta) - current_millis()
        if wait <= 0:
            return self._envelope(queue, "", queue, message)
        if wait > delays.LONGEST:
            # It comes back to be sent on its way again, which a plain worker would do, too.
            message = message.copy(queue_name=dq_name(queue), options={"eta": eta})
            return self._envelope(queue, *delays.route(delays.LONGEST, dq_name(queue)), message)
        return self._envelope(queue, *delays.route(wait, queue), message)

    def grave(self, queue_name: str, body: bytes) -> Envelope:
        """Return a body on its way to the dead letters of a queue."""
        queue = q_name(queue_name)
        return Envelope(queue, "", xq_name(queue), body, _durable())

    def bury(self, queue_name: str, body: bytes) -> None:
        """Put a body among the dead letters of a queue. Raises ConnectionClosed if it may not be there."""
        fates, error = self._deliver([self.grave(queue_name, body)])
        if fates != ["confirmed"]:
            raise closed(error)

    def _envelope(self, queue: str, exchange: str, key: str, message: Message[Any]) -> Envelope:
        if exchange:
            self._ensure_ladder()
        return Envelope(queue, exchange, key, message.encode(), _durable(message.options.get("broker_priority")))

    def _publish_all(self, messages: Sequence[Message[Any]], delay: int | None) -> Publication:
        hooked: list[Message[Any]] = []
        envelopes: list[Envelope] = []
        refusal: BaseException | None = None
        for message in messages:
            try:
                message, envelope = self._prepared(message, delay)
            except BaseException as exc:
                refusal = exc
                break
            hooked.append(message)
            envelopes.append(envelope)
        fates, error = self._deliver(envelopes)
        for message, fate in zip(hooked, fates, strict=True):
            if fate == "confirmed":
                self.emit_after("enqueue", message, delay)
        return publication(hooked, fates, error, refusal)

    def _prepared(self, message: Message[Any], delay: int | None) -> tuple[Message[Any], Envelope]:
        """Return a message as the hooks of Dramatiq have it, and as it travels."""
        queue, eta = message.queue_name, None
        self.declare_queue(queue, ensure=True)
        if delay is not None:
            eta = current_millis() + delay
            message = message.copy(queue_name=dq_name(queue), options={"eta": eta})
        self.emit_before("enqueue", message, delay)
        return message, self.envelope(message, queue, eta)

    def _deliver(self, envelopes: Sequence[Envelope]) -> tuple[list[Fate], BaseException | str | None]:
        """Publish; what is certainly in no queue is tried again, with growing pauses."""
        fates: list[Fate] = ["unsent"] * len(envelopes)
        open_, error = list(range(len(envelopes))), None
        deadline = time.monotonic() + self._retry_for
        for pause in pauses():
            batch = self.publisher.publish([envelopes[i] for i in open_])
            for i, fate in zip(open_, batch.fates, strict=True):
                fates[i] = fate or "unknown"
            error = batch.error or error
            open_ = [i for i in open_ if fates[i] in ("refused", "unroutable", "unsent")]
            if not open_ or isinstance(error, AccessRefused) or time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
            try:
                self._declare_again({envelopes[i].queue for i in open_ if fates[i] == "unroutable"})
            except BrokerError as exc:
                return fates, exc
        return fates, error

    # --- declaring ---
    def _declare_again(self, names: Iterable[str]) -> None:
        for name in names:
            self._has_ladder = False
            self.queues_pending.add(name)
            self._ensure_queue(name)
            self._ensure_ladder()

    def _ensure_queue(self, canonical_queue_name: str) -> None:
        with self._declaring:
            if canonical_queue_name in self.queues_pending:
                with self.nodes.channel("declare") as channel:
                    version = channel.connection._impl.server_properties.get("version", "")
                    queues.declare(channel, canonical_queue_name, self.queue_type, self.max_priority, version)
                self.queues_pending.discard(canonical_queue_name)

    def _ensure_ladder(self) -> None:
        with self._declaring:
            if not self._has_ladder:
                with self.nodes.channel("declare") as channel:
                    delays.declare(channel)
                self._has_ladder = True

    # --- looking in, for tests and tools ---
    def get_queue_message_counts(self, queue_name: str) -> tuple[int, int, int]:
        """Return how many messages wait in a queue, in delays and in its dead letters.

        The delays are those of all queues, as they share the server's ladder.
        """
        self.prepare(dq_name(queue_name))
        with self.nodes.channel("count") as channel:
            waiting, delayed, dead, *steps = (
                channel.queue_declare(name, passive=True).method.message_count
                for name in (queue_name, dq_name(queue_name), xq_name(queue_name), *delays.queues())
            )
        return waiting, delayed + sum(steps), dead

    def flush(self, queue_name: str) -> None:
        """Drop the messages of a queue and its dead letters, but not those that are delayed on the ladder."""
        for name in (queue_name, dq_name(queue_name), xq_name(queue_name)):
            try:
                with self.nodes.channel("flush") as channel:
                    channel.queue_purge(name)
            except ConnectionClosed as exc:
                if getattr(exc.message, "reply_code", None) != 404:
                    raise


def _nodes(url: str | list[str]) -> list[str]:
    nodes = [node for node in map(str.strip, url.split(";") if isinstance(url, str) else url) if node]
    if not nodes or not all(node.startswith(("amqp://", "amqps://")) for node in nodes):
        raise ConfigurationError("every node in CHATBOT_BROKER_URL begins with amqp:// or amqps://")
    return nodes


def _durable(priority: int | None = None) -> pika.BasicProperties:
    return pika.BasicProperties(delivery_mode=2, priority=priority)

"""Consuming one queue: the connection comes back by itself, and nothing that was lost with it is acknowledged later."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeGuard

from dramatiq.broker import Consumer
from dramatiq.brokers import rabbitmq as stock
from dramatiq.common import current_millis, dq_name, q_name
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message

from chatbot.brokers.messages import read, when_settled
from chatbot.brokers.rabbitmq_deliveries import Deliveries, Delivery
from chatbot.brokers.rabbitmq_nodes import LOST, AccessRefused
from chatbot.brokers.rabbitmq_publisher import Batch, Envelope
from chatbot.brokers.window import Window

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

    from chatbot.brokers.rabbitmq import RabbitmqBroker

logger = logging.getLogger(__name__)

#: A delay queue is only passed through: more at a time would only fill the memory.
MOST_MOVING = 256


class RabbitmqMessage(stock._RabbitmqMessage):
    """A delivery, which belongs to the connection that it came with."""

    #: A guard may note what a delivery has done when it is acknowledged, see `when_settled`.
    settles_first = True
    #: Set by whoever wants the broker to take it back instead of acknowledging it.
    unacknowledged = False

    def __init__(self, delivery: Delivery, message: Message[Any], deliveries: Deliveries) -> None:
        stock_message: Any = super()
        stock_message.__init__(delivery.redelivered, delivery.tag, message)
        vars(self).update(vars(message))  # a proxy's own look-up is Python's, and there are dozens for each call
        self.body, self.deliveries = delivery.body, deliveries

    def is_ours(self) -> bool:
        """Say whether the server still counts on us for this message; else somebody else may run it."""
        return self.deliveries.is_alive()


class RabbitmqConsumer(Consumer):
    """Hands out what is to run now; whatever is to run later goes to the server's ladder of delays."""

    def __init__(self, broker: RabbitmqBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self._broker, self._queue, self._timeout = broker, queue_name, timeout / 1000
        self._moves = queue_name == dq_name(queue_name)
        self._window = Window(min(prefetch, MOST_MOVING) if self._moves else prefetch)
        self._deliveries: Deliveries | None = None
        self._pauses = pauses()
        self._connect()

    def __next__(self) -> MessageProxy | None:
        if self._deliveries is None and not self._reconnect():
            return None
        assert self._deliveries is not None
        try:
            delivery = self._deliveries.next(self._timeout)
        except LOST as exc:
            self._lose(exc)
            return None
        return None if delivery is None else self._accept(delivery, self._deliveries)

    def ack(self, message: MessageProxy) -> None:
        """Acknowledge a message, unless it has gone back to the server with its connection."""
        if not _delivered(message):
            return
        when_settled(
            message, lambda: message.deliveries.settle(message._tag, "requeue" if message.unacknowledged else "ack")
        )

    def nack(self, message: MessageProxy) -> None:
        """Move a message to the dead letters. Raises ConnectionClosed if it has not got there."""
        if not _delivered(message):
            return
        when_settled(message, lambda: None)
        if message.unacknowledged:
            message.deliveries.settle(message._tag, "requeue")
        elif self._broker.queue_type == "quorum":
            message.deliveries.settle(message._tag, "reject")
        elif message.is_ours():
            # A classic queue does not wait for the confirm of what it dead-letters. We do.
            self._broker.bury(self._queue, message.body)
            message.deliveries.settle(message._tag, "ack")

    def close(self) -> None:
        """Give everything back that is not acknowledged."""
        deliveries, self._deliveries = self._deliveries, None
        if deliveries is not None:
            deliveries.close()

    # --- the connection ---
    def _connect(self) -> bool:
        """Return whether there is a connection. Raises what no waiting cures."""
        try:
            self._broker.prepare(self._queue)
            self._deliveries = Deliveries(self._broker.nodes, self._queue, self._window)
        except AccessRefused:
            raise
        except ConnectionClosed as exc:
            logger.warning("no consumer for %s yet: %r", self._queue, exc.message)
            return False
        self._pauses = pauses()
        return True

    def _reconnect(self) -> bool:
        # Not longer than a wait for messages, so that a worker can stop.
        time.sleep(min(next(self._pauses), self._timeout))
        return self._connect()

    def _lose(self, error: BaseException) -> None:
        logger.warning("the consumer of %s has lost its connection: %r", self._queue, error)
        # It may be the queue that is gone.
        self._broker.queues_pending.add(q_name(self._queue))
        self.close()

    # --- what arrives ---
    def _accept(self, delivery: Delivery, deliveries: Deliveries) -> MessageProxy | None:
        try:
            message = _decoded(delivery.body, self._queue)
            eta = _eta(message, self._moves)
        except Exception:
            # Whatever a foreign encoder raises.
            logger.exception("what cannot be decoded on %s becomes a dead letter: %.200r", self._queue, delivery.body)
            self._bury(delivery, deliveries)
            return None
        proxy = RabbitmqMessage(delivery, message, deliveries)
        if eta is None:
            return proxy
        self._broker.emit_before("delay_message", proxy)
        self._move(proxy, eta)
        return None

    def _move(self, proxy: RabbitmqMessage, eta: float) -> None:
        """Send a message on its way to its time; it is acknowledged here when it is safe there."""
        envelope = self._broker.envelope(proxy._message, q_name(self._queue), eta)
        self._publish(envelope, proxy._tag, proxy.deliveries)

    def _bury(self, delivery: Delivery, deliveries: Deliveries) -> None:
        if self._broker.queue_type == "quorum":
            deliveries.settle(delivery.tag, "reject")
        else:
            self._publish(self._broker.grave(self._queue, delivery.body), delivery.tag, deliveries)

    def _publish(self, envelope: Envelope, tag: int, deliveries: Deliveries) -> None:
        # This thread has a connection to keep alive, so it does not wait.
        self._broker.publisher.submit(
            Batch([envelope], lambda batch: deliveries.moved(tag, batch.fates == ["confirmed"]))
        )


def pauses() -> Iterator[float]:
    """Yield pauses in s that grow, with full jitter: what comes back is not met by everybody at once."""
    most = 0.1
    while True:
        yield random.uniform(0, most)
        most = min(most * 2, 2.0)


def _decoded(body: bytes, queue: str) -> Message[Any]:
    message = read(body)
    # A worker finds a message's consumer by this name, and ends if there is none.
    return message if message.queue_name == queue else message.copy(queue_name=queue)


def _eta(message: Message[Any], moves: bool) -> float | None:
    """Return the time in ms when a message is due, or None if it is to run here and now."""
    eta = message.options.get("eta")
    due = eta if isinstance(eta, int | float) and not isinstance(eta, bool) else 0
    if moves or due > current_millis():
        return due
    message.options.pop("eta", None)
    return None


def _delivered(message: MessageProxy) -> TypeGuard[RabbitmqMessage]:
    if isinstance(message, RabbitmqMessage):
        return True
    logger.warning("%r is not acknowledged: it is no delivery of this broker", message)
    return False

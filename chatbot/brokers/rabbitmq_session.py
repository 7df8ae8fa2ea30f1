"""The publisher's connection while it lasts: what was sent on it, and what the server said of it."""

from __future__ import annotations

import logging
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import pika
import pika.exceptions

if TYPE_CHECKING:
    from chatbot.brokers.rabbitmq_publisher import Batch, Fate, Publisher

logger = logging.getLogger(__name__)


class PublishingSession:
    """Everything but `wake` is called in the publisher's thread."""

    def __init__(self, node: Any, publisher: Publisher) -> None:
        self._publisher = publisher
        self.ready = False
        self.error: BaseException | None = None
        self._blocked = False
        self._channel: Any = None
        self._sent = 0
        #: Delivery tag -> the batch and the place in it, in the order of the tags.
        self._unconfirmed: dict[int, tuple[Batch, int]] = {}
        self._returned: set[int] = set()
        self._connection = pika.SelectConnection(
            node,
            on_open_callback=self._on_open,
            on_open_error_callback=self._on_end,
            on_close_callback=self._on_end,
        )

    def run(self) -> None:
        """Return when the connection has ended, or could not be had."""
        try:
            self._connection.ioloop.start()
        finally:
            self._settle_all("unknown", self.error or "the publisher's thread has failed")

    def wake(self) -> None:
        """Have a look at what waits to be sent. May be called from any thread while the session is the publisher's."""
        self._connection.ioloop.add_callback_threadsafe(self._drain)

    def replace(self) -> None:
        """End the connection, so that the next batch gets another. To be called like `wake`."""
        self._connection.ioloop.add_callback_threadsafe(self._end)

    def close(self) -> None:
        """Give back what the loop holds, which has ended."""
        if not self._connection.is_closed:
            self._connection._terminate_stream(RuntimeError("the publisher's thread has failed"))
        self._connection.ioloop.close()

    # --- the connection ---
    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(lambda *_: self._set_blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._set_blocked(False))
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    def _on_ready(self, _frame: Any) -> None:
        self.ready = True
        self._drain()

    def _set_blocked(self, blocked: bool) -> None:
        if blocked:
            logger.warning("RabbitMQ is short of memory or disk space, and takes no messages")
        self._blocked = blocked
        self._drain()

    def _on_end(self, _connection: Any, error: BaseException) -> None:
        self.error = error
        self._settle_all("unknown", error)
        self._connection.ioloop.stop()

    def _on_channel_closed(self, _channel: Any, error: BaseException) -> None:
        if getattr(error, "reply_code", None) == 404:
            self._settle_missing(error)
        self._settle_all("unknown", error)
        if self._connection.is_open:
            self._connection.close()

    def _end(self) -> None:
        if self._connection.is_open:
            self._connection.close()

    # --- sending ---
    def _drain(self) -> None:
        if self._publisher.closing and (self._connection.is_open or self._connection.is_closed):
            if self._connection.is_open:
                self._connection.close()
            return
        if self.ready and not self._blocked and self._channel.is_open:
            for batch in self._publisher.take():
                self._send(batch)

    def _send(self, batch: Batch) -> None:
        for i, one in enumerate(batch.publications):
            try:
                self._channel.basic_publish(one.exchange, one.routing_key, one.body, one.properties, mandatory=True)
            except Exception as exc:
                # A name that AMQP cannot carry, or a channel that has just been closed: nothing was sent.
                batch.settle(i, "unsent", exc)
            else:
                self._sent += 1
                self._unconfirmed[self._sent] = batch, i

    # --- what the server says ---
    def _on_return(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        # A message comes back just before its confirm, without its tag.
        for tag, (batch, i) in self._unconfirmed.items():
            one = batch.publications[i]
            same = (one.exchange, one.routing_key, one.body) == (method.exchange, method.routing_key, body)
            if same and tag not in self._returned:
                self._returned.add(tag)
                return

    def _on_confirm(self, frame: Any) -> None:
        said = frame.method
        fate: Fate = "confirmed" if isinstance(said, pika.spec.Basic.Ack) else "refused"
        until: int = said.delivery_tag
        tags = list(takewhile(lambda tag: tag <= until, self._unconfirmed)) if said.multiple else [until]
        for tag in tags:
            self._settle(tag, "unroutable" if tag in self._returned else fate)

    def _settle(self, tag: int, fate: Fate, error: BaseException | str | None = None) -> None:
        self._returned.discard(tag)
        batch, i = self._unconfirmed.pop(tag)
        batch.settle(i, fate, error)

    def _settle_missing(self, error: BaseException) -> None:
        """The channel ended with the first publication to an exchange that is gone; the server took none after it."""
        named = [tag for tag, (batch, i) in self._unconfirmed.items() if batch.publications[i].exchange]
        for tag in [tag for tag in self._unconfirmed if named and tag >= named[0]]:
            self._settle(tag, "unroutable", error)

    def _settle_all(self, fate: Fate, error: BaseException | str) -> None:
        for tag in list(self._unconfirmed):
            self._settle(tag, fate, error)

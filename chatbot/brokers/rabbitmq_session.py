"""The publisher's connection while it lasts, and the channel that it publishes on."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import pika

from chatbot.brokers.rabbitmq_channel import PublishingChannel
from chatbot.brokers.rabbitmq_nodes import GOODBYE

if TYPE_CHECKING:
    from chatbot.brokers.rabbitmq_publisher import Publisher

logger = logging.getLogger(__name__)


class PublishingSession:
    """Everything but `wake` is called in the publisher's thread. An answer may take `patience` s."""

    def __init__(self, node: Any, publisher: Publisher, patience: float) -> None:
        self._publisher, self._patience = publisher, patience
        self.ready = False
        self.error: BaseException | None = None
        #: Why the server takes nothing at the moment, in its own words.
        self.blocked = ""
        self._unblocked = -math.inf
        self._channel: PublishingChannel | None = None
        #: The one that is published on, and those that wait for their last confirms.
        self._channels: list[PublishingChannel] = []
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
            self._settle_all(self.error or "the publisher's thread has failed")

    def wake(self) -> None:
        """Have a look at what waits to be sent. May be called from any thread while the session is the publisher's."""
        self._connection.ioloop.add_callback_threadsafe(self._drain)

    def close(self) -> None:
        """Give back what the loop holds, which has ended."""
        if not self._connection.is_closed:
            self._leave("the publisher's thread has failed")
        self._connection.ioloop.close()

    # --- the connection ---
    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(lambda _, frame: self._on_blocked(frame.method.reason))
        connection.add_on_connection_unblocked_callback(lambda *_: self._on_unblocked())
        self._renew()
        self._watch()

    def _on_blocked(self, reason: str) -> None:
        logger.warning("RabbitMQ takes no messages: %s", reason)
        self.blocked = reason or "its connection is blocked"

    def _on_unblocked(self) -> None:
        logger.warning("RabbitMQ takes messages again")
        self.blocked, self._unblocked = "", time.monotonic()
        self._drain()

    def _on_end(self, _connection: Any, error: BaseException) -> None:
        self.error = error
        self._settle_all(error)
        self._connection.ioloop.stop()

    def _watch(self) -> None:
        """Leave a server that owes an answer for too long. A blocked one reads nothing, so it owes none."""
        asked = min((at for one in self._channels if (at := one.waiting_since()) is not None), default=math.inf)
        if not self.blocked and time.monotonic() - max(asked, self._unblocked) > self._patience:
            # After a leader was lost, a confirm may never come. Nor need there be an answer to a goodbye.
            self._leave(f"no answer within {self._patience:g} s")
        else:
            self._connection.ioloop.call_later(self._patience / 4, self._watch)

    def _end(self) -> None:
        if self._connection.is_open:
            self._connection.ioloop.call_later(GOODBYE, lambda: self._leave("no answer to a goodbye"))
            self._connection.close()

    def _leave(self, why: str) -> None:
        self._connection._terminate_stream(TimeoutError(why))

    def _settle_all(self, error: BaseException | str) -> None:
        for channel in self._channels:
            channel.settle_all("unknown", error)

    # --- the channel ---
    def on_ready(self, channel: PublishingChannel) -> None:
        """Begin to send."""
        self.ready = True
        self._drain()

    def on_refusal(self, channel: PublishingChannel) -> None:
        """Go on with another channel.

        Up to 3.12.4, a channel that meets a quorum queue for the first time while its leader's node is down refuses
        whatever is for that queue until the node is back, whoever leads by then
        (rabbitmq/rabbitmq-server, bd9f2a1396).
        """
        if channel is self._channel and self._connection.is_open:
            self._renew()
            channel.retire()

    def on_closed(self, channel: PublishingChannel) -> None:
        """Go on with another channel, unless the connection ends, too."""
        self._channels.remove(channel)
        if channel is self._channel and self._connection.is_open:
            if channel.ready:
                self._renew()
            else:
                self._end()

    def _renew(self) -> None:
        self._channel = PublishingChannel(self._connection, self)
        self._channels.append(self._channel)

    def _drain(self) -> None:
        if self._publisher.closing:
            self._end()
        elif self._channel is not None and self._channel.ready and not self.blocked:
            for batch in self._publisher.take():
                self._channel.send(batch)

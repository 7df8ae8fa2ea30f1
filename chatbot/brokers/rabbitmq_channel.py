"""A channel of the publisher: what was sent on it, and what the server said of it."""

from __future__ import annotations

import time
from itertools import takewhile
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pika
import pika.exceptions

if TYPE_CHECKING:
    from chatbot.brokers.rabbitmq_publisher import Batch, Envelope, Fate


class Owner(Protocol):
    """Who is told of what happens to a channel."""

    def on_ready(self, channel: PublishingChannel) -> None:
        """It may be sent on."""

    def on_refusal(self, channel: PublishingChannel) -> None:
        """The server has refused something that was sent on it."""

    def on_closed(self, channel: PublishingChannel) -> None:
        """It has ended."""


class Sent(NamedTuple):
    """A publication without a confirm: its place in its batch, and when it was sent (s, monotonic)."""

    batch: Batch
    place: int
    at: float

    @property
    def envelope(self) -> Envelope:
        return self.batch.publications[self.place]


class PublishingChannel:
    """Everything is called in the publisher's thread."""

    def __init__(self, connection: Any, owner: Owner) -> None:
        self._owner = owner
        self.ready = False
        self._asked = time.monotonic()
        self._retired = False
        self._count = 0
        #: By delivery tag, in the order of the tags.
        self._unconfirmed: dict[int, Sent] = {}
        self._returned: set[int] = set()
        self._channel: Any = connection.channel(on_open_callback=self._on_open)

    def send(self, batch: Batch) -> None:
        """Publish a batch; it is settled as the server's answers come in."""
        for i, one in enumerate(batch.publications):
            try:
                self._channel.basic_publish(one.exchange, one.routing_key, one.body, one.properties, mandatory=True)
            except Exception as exc:
                # A name that AMQP cannot carry, or a channel that has just been closed: nothing was sent.
                batch.settle(i, "unsent", exc)
            else:
                self._count += 1
                self._unconfirmed[self._count] = Sent(batch, i, time.monotonic())

    def waiting_since(self) -> float | None:
        """Return when the server was asked for what it has not answered yet, or None."""
        if not self.ready:
            return self._asked
        return next((sent.at for sent in self._unconfirmed.values()), None)

    def retire(self) -> None:
        """Close the channel when everything that was sent on it is settled."""
        self._retired = True
        if not self._unconfirmed and self._channel.is_open:
            self._channel.close()

    def settle_all(self, fate: Fate, error: BaseException | str) -> None:
        """Say what became of all about which nothing is known."""
        for tag in list(self._unconfirmed):
            self._settle(tag, fate, error)

    # --- what the server says ---
    def _on_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._on_close)
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    def _on_ready(self, _frame: Any) -> None:
        self.ready = True
        self._owner.on_ready(self)

    def _on_close(self, _channel: Any, error: BaseException) -> None:
        if getattr(error, "reply_code", None) == 404:
            self._settle_missing(error)
        self.settle_all("unknown", error)
        self._owner.on_closed(self)

    def _on_return(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        # A message comes back just before its confirm, without its tag.
        for tag, sent in self._unconfirmed.items():
            one = sent.envelope
            same = (one.exchange, one.routing_key, one.body) == (method.exchange, method.routing_key, body)
            if same and tag not in self._returned:
                self._returned.add(tag)
                return

    def _on_confirm(self, frame: Any) -> None:
        said = frame.method
        fate: Fate = "confirmed" if isinstance(said, pika.spec.Basic.Ack) else "refused"
        until: int = said.delivery_tag
        tags = list(takewhile(lambda tag: tag <= until, self._unconfirmed)) if said.multiple else [until]
        if fate == "refused":
            self._owner.on_refusal(self)  # before those who sent it are told, and send it again
        for tag in tags:
            self._settle(tag, "unroutable" if tag in self._returned else fate)
        if self._retired:
            self.retire()

    def _settle(self, tag: int, fate: Fate, error: BaseException | str | None = None) -> None:
        self._returned.discard(tag)
        sent = self._unconfirmed.pop(tag)
        sent.batch.settle(sent.place, fate, error)

    def _settle_missing(self, error: BaseException) -> None:
        """The channel ended with the first publication to an exchange that is gone; the server took none after it."""
        named = [tag for tag, sent in self._unconfirmed.items() if sent.envelope.exchange]
        for tag in [tag for tag in self._unconfirmed if named and tag >= named[0]]:
            self._settle(tag, "unroutable", error)

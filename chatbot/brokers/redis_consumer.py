"""Consuming a Redis queue: wait on the server, fetch in batches, settle what was delivered and is still held."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dramatiq.broker import Consumer, MessageProxy
from dramatiq.common import current_millis
from dramatiq.errors import BrokerError, ConnectionClosed, DecodeError
from dramatiq.message import Message

from chatbot.brokers.messages import read, when_settled
from chatbot.brokers.redis_clients import Backoff, wrapped
from chatbot.brokers.redis_deliveries import Acknowledger, Delivery
from chatbot.brokers.window import Window

if TYPE_CHECKING:
    from chatbot.brokers.redis import RedisBroker

logger = logging.getLogger(__name__)

#: ms. A delayed message that could not be read on the server came at once; if it is this early, the worker waits.
EARLY = 5_000
#: s. How long a consumer of a worker that stops does nothing before it lets itself be asked to stop.
STOPPING_PAUSE = 0.05


class RedisConsumer(Consumer):
    """Hands out a queue's messages. It never raises because the server is away: it looks for it until it is stopped."""

    def __init__(self, broker: RedisBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self._broker, self._queue, self._window = broker, queue_name, Window(prefetch)
        # Dramatiq's own default is a second; who asks for less wants a worker that stops sooner.
        self._wait = broker.longest_wait if timeout >= 1000 else min(timeout / 1000, broker.longest_wait)
        self._holdings = broker.holdings(queue_name)
        self._acknowledger = Acknowledger(self._acknowledge)
        self._fetched: deque[Delivery] = deque()
        self._is_empty = False
        self._backoff = Backoff()
        self._closed = threading.Event()

    # --- fetching ---
    def __next__(self) -> MessageProxy | None:
        if self._broker.stopping:
            self._put_back()
            self._closed.wait(STOPPING_PAUSE)
            return None
        if not self._fetched:
            self._refill()
        while self._fetched:
            delivery = self._fetched.popleft()
            if delivery in self._holdings:  # not if the lease was lost since
                return delivery
        return None

    def _refill(self) -> None:
        try:
            if self._holdings.room(self._window.size(), self._wait) and self._broker.steward.holds_lease(self._wait):
                self._fetch_or_wait()
            self._backoff.reset()
        except ConnectionClosed as exc:
            self._backoff.log("queue %s waits for its server: %s", self._queue, exc)
            self._closed.wait(self._backoff.pause())

    def _fetch_or_wait(self) -> None:
        if self._is_empty and not self._wait_on_server():
            return
        count = self._fetch()
        self._is_empty = count == 0

    def _wait_on_server(self) -> bool:
        # Moving the head of a list onto itself changes nothing, and it works for messages of plain producers.
        key = f"{self._broker.namespace}:{self._queue}"
        client = self._broker.client
        with wrapped(client):
            return client.blmove(key, key, self._wait, "LEFT", "LEFT") is not None

    def _fetch(self) -> int:
        held = self._holdings
        with held.fetching:
            number, most = held.fetch_number, self._window.size() - held.undone
            if most <= 0:
                return 0
            answer = self._broker.scripts("fetch", self._broker.broker_id, self._queue, number, most)
            if answer is None:
                self._broker.steward.doubt()
                return 0
            held.fetch_number += 1
            token = f"{self._broker.broker_id}/{number}"
            for redis_id, again, body in zip(answer[::3], answer[1::3], answer[2::3], strict=True):
                self._take(_text(redis_id), token, bool(int(again)), body)
        return len(answer)

    def _take(self, redis_id: str, token: str, redelivered: bool, body: Any) -> None:
        try:
            message = self._readable(read(body if isinstance(body, bytes) else body.encode()))
        except DecodeError:
            logger.error("what cannot be decoded on %s becomes a dead letter: %.200r", self._queue, body)
            self._call("nack", [(redis_id, token)])
            return
        delivery = Delivery(message, redis_id, token, redelivered)
        self._holdings.add(delivery)
        self._fetched.append(delivery)

    def _readable(self, message: Message[Any]) -> Message[Any]:
        """Return a message as one that was never delayed. Workers find its consumer by its queue's name."""
        options = dict(message.options)
        eta = options.get("eta")
        if not isinstance(eta, int | float) or eta < current_millis() + EARLY:
            options.pop("eta", None)
        if message.queue_name == self._queue and options == message.options:
            return message
        readable = message.copy(queue_name=self._queue)
        readable.options.clear()
        readable.options.update(options)
        return readable

    # --- settling ---
    def ack(self, message: MessageProxy) -> None:
        """Remove a message that is done, soon. If this process ends before that, it is delivered again."""
        if isinstance(message, Delivery):
            self._holdings.done(message)
        when_settled(message, lambda: self._ack(message))

    def _ack(self, message: MessageProxy) -> None:
        if (delivery := self._ours("ack", message)) is not None:
            self._acknowledger.put(delivery)

    def nack(self, message: MessageProxy) -> None:
        """Make a message a dead letter. Raises ConnectionClosed if the server is away for longer than the lease."""
        when_settled(message, lambda: None)
        if (delivery := self._ours("nack", message)) is not None:
            self._until_answered(lambda: self._settle_once("nack", [delivery]))

    def _ours(self, verb: str, message: Any) -> Delivery | None:
        """Return a delivery that is still to be settled."""
        if getattr(message, "unacknowledged", False):
            self.requeue([message])
        elif message in self._holdings:
            return message  # type: ignore[no-any-return]
        else:
            logger.warning("%s of %s comes too late: another worker has the message", verb, message.message_id)
        return None

    def _acknowledge(self, deliveries: list[Delivery]) -> None:
        # However long the server is away: its lease may outlast that, and then nobody else would get the messages.
        self._window.done(len(deliveries))
        backoff = Backoff()
        while held := [delivery for delivery in deliveries if delivery in self._holdings]:
            try:
                self._settle_once("ack", held)
            except ConnectionClosed as exc:
                if self._broker.stopping or self._closed.is_set():
                    logger.warning("%d messages that are done will be delivered again: %s", len(held), exc)
                    return
                backoff.log("messages of %s that are done wait for its server: %s", self._queue, exc)
                self._closed.wait(backoff.pause())
            except Exception:
                logger.exception("%d messages that are done could not be acknowledged", len(held))
                return

    def _settle_once(self, verb: str, deliveries: list[Delivery]) -> None:
        answers = self._call(verb, [(delivery.redis_id, delivery.token) for delivery in deliveries])
        for delivery, settled in zip(deliveries, answers, strict=True):
            if not settled:
                logger.warning("%s of %s has no effect: another worker has the message", verb, delivery.message_id)
            self._holdings.remove(delivery)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """Put messages back at the head of the queue, in their order."""
        deliveries: list[Any] = [message for message in messages if message in self._holdings]
        if deliveries:
            self._call("requeue", [(delivery.redis_id, delivery.token) for delivery in deliveries])
        for delivery in deliveries:
            self._holdings.remove(delivery)

    def close(self) -> None:
        """Put back what was not handed out, and what is not to be acknowledged."""
        self._closed.set()
        try:
            self._acknowledger.stop()
            self._put_back()
            self.requeue(self._holdings.kept())
        finally:
            self._broker.consumer_closed(self)

    def _put_back(self) -> None:
        # Before the worker puts back what it was given earlier, which then stands in front of it.
        waiting, self._fetched = list(self._fetched), deque()
        self.requeue(waiting)

    def _until_answered(self, call: Callable[[], None]) -> None:
        deadline, backoff = time.monotonic() + self._broker.lease, Backoff()
        while True:
            try:
                return call()
            except ConnectionClosed as exc:
                if self._broker.stopping:
                    # Of a ConnectionClosed, Dramatiq's worker would wait for the server's return before it stops.
                    raise BrokerError(f"not acknowledged, so it will be delivered again: {exc}") from None
                if time.monotonic() >= deadline:
                    raise
                time.sleep(backoff.pause())

    def _call(self, command: str, pairs: list[tuple[str, str]]) -> list[int]:
        args = [part for pair in pairs for part in pair]
        return self._broker.scripts(command, self._broker.broker_id, self._queue, *args)  # type: ignore[no-any-return]


class NoDeliveries(Consumer):
    """A delay queue's consumer, for the workers that ask for one: it costs no connection and no call."""

    def __init__(self, broker: RedisBroker, timeout: int) -> None:
        self._broker, self._timeout = broker, timeout / 1000
        self._closed = threading.Event()

    def __next__(self) -> MessageProxy | None:
        self._closed.wait(STOPPING_PAUSE if self._broker.stopping else self._timeout)
        return None

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        """There are none."""

    def close(self) -> None:
        """End a wait."""
        self._closed.set()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

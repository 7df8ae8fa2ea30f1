"""The Redis broker: Dramatiq's own, with consumers that wait on the server instead of polling it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import redis
from dramatiq.brokers import redis as stock
from dramatiq.errors import ConnectionClosed
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from chatbot.brokers.admission import Admission

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

#: ms. A blocking call is shorter than the client's socket timeout.
SOCKET_TIMEOUT = 5_000
LONGEST_WAIT = 1_000


class RedisBroker(Admission, stock.RedisBroker):
    """A drop-in for dramatiq.brokers.redis.RedisBroker; `url` may carry any option of redis-py."""

    def __init__(self, *, url: str, **options: Any) -> None:
        client = redis.Redis.from_url(
            url,
            socket_timeout=SOCKET_TIMEOUT / 1000,
            socket_connect_timeout=2,
            health_check_interval=30,
            retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), 2),
        )
        stock_broker: Any = super()
        stock_broker.__init__(client=client, **options)

    @property
    def consumer_class(self) -> type[_Consumer]:
        return _Consumer

    def ping(self) -> None:
        """Raise ConnectionClosed unless the server answers."""
        with _wrapped():
            self.client.ping()

    def close(self) -> None:
        self.client.close()

    def _publish(self, message: Message[Any], delay: int | None = None) -> Message[Any]:
        with _wrapped():
            return super()._publish(message, delay)


class _Consumer(stock._RedisConsumer):
    """Blocks on the head of the queue while there is nothing to fetch."""

    def __next__(self) -> MessageProxy | None:
        with _wrapped():
            if not self.message_cache and self.outstanding_message_count < self.prefetch:
                self.message_cache = self._fetch() or self._wait()
            if not self.message_cache:
                if self.outstanding_message_count >= self.prefetch:
                    return self._next()  # backs off until something is acknowledged
                return None
            self.misses = 0
            return self._next()

    def _next(self) -> MessageProxy | None:
        stock_consumer: Any = super()
        message: MessageProxy | None = stock_consumer.__next__()
        return message

    def _fetch(self) -> list[bytes]:
        fetched: list[bytes] = self.broker.do_fetch(self.queue_name, self.prefetch - self.outstanding_message_count)
        return fetched

    def _wait(self) -> list[bytes]:
        # Moving the head of a list onto itself changes nothing, and it works for messages of plain producers.
        queue = f"{self.broker.namespace}:{self.queue_name}"
        seconds = min(self.timeout, LONGEST_WAIT) / 1000
        woken = self.broker.client.blmove(queue, queue, seconds, "LEFT", "LEFT")
        return self._fetch() if woken else []

    def requeue(self, messages: Any) -> None:
        stock_consumer: Any = super()
        with _wrapped():
            stock_consumer.requeue(messages)


@contextmanager
def _wrapped() -> Iterator[None]:
    """Dramatiq reconnects after its own error only."""
    try:
        yield
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError, redis.exceptions.ReadOnlyError) as exc:
        raise ConnectionClosed(exc) from None

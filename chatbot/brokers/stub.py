"""The broker for tests that need no server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from dramatiq.brokers import stub
from dramatiq.errors import QueueNotFound

from chatbot.brokers.admission import Admission

if TYPE_CHECKING:
    from dramatiq.broker import Consumer, MessageProxy
    from dramatiq.message import Message


class StubBroker(Admission, stub.StubBroker):
    """Dramatiq's in-memory broker, with guards asked in batches."""

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Like every broker of ours; but there is no server that would make an unknown queue, so no guard is asked."""
        if message.queue_name not in self.queues:
            raise QueueNotFound(message.queue_name)
        return super().enqueue(message, delay=delay)

    def consume(self, queue_name: str, prefetch: int = 1, timeout: int = 100) -> Consumer:
        if queue_name not in self.queues:
            raise QueueNotFound(queue_name)
        consumer_class: Any = _Consumer
        consumer: Consumer = consumer_class(
            self.queues[queue_name], self.dead_letters_by_queue[queue_name], prefetch, timeout
        )
        return consumer

    def ping(self) -> None:
        """It is in this process, so it answers."""


class _Consumer(stub._StubConsumer):
    """Gives back what a stopped worker has not run, or what is not to be settled; Dramatiq's own drops it."""

    def ack(self, message: MessageProxy) -> None:
        self._settle(message, super().ack)

    def nack(self, message: MessageProxy) -> None:
        self._settle(message, super().nack)

    def _settle(self, message: MessageProxy, settle: Callable[[MessageProxy], None]) -> None:
        if getattr(message, "unacknowledged", False):
            self.requeue([message])
        else:
            settle(message)

    def requeue(self, messages: Iterable[MessageProxy]) -> None:
        for message in messages:
            self.queue.put(message.encode())
            self.queue.task_done()
            self.prefetch_semaphore.release()

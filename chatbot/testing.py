"""Tests of guarded actors without servers, threads or waiting: a ledger in memory, a clock that stands still until it
is advanced, a broker in this process, and `drain`, which works off what is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import PriorityQueue
from typing import TYPE_CHECKING, Any

from dramatiq import Worker
from dramatiq.broker import MessageProxy
from dramatiq.common import current_millis, iter_queue, q_name
from dramatiq.errors import Retry
from dramatiq.message import Message
from dramatiq.middleware import Middleware
from dramatiq.worker import ConsumerThread, WorkerThread

from chatbot.brokers.stub import StubBroker
from chatbot.middleware import Debounce, guarded_stack
from chatbot.middleware.pump import Pump
from chatbot.stores.base import Store
from chatbot.stores.memory import ManualClock, MemoryStore

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.brokers import stub


class ManualTime(Middleware):
    """Lets the delays of a stub broker (retries, `delay=`) end by a manual clock; it comes first in the list."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self.clock = clock

    def before_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        if delay is not None:
            message.options["eta"] = self.now() + delay

    def now(self) -> int:
        """Return the time in ms."""
        return self.clock() // 1_000


def stub_broker(clock: ManualClock, more: Sequence[Middleware] = ()) -> StubBroker:
    """Return a guarded broker whose ledger, windows, leases and delays all live in the clock's time."""
    return StubBroker(middleware=[ManualTime(clock), *guarded_stack(MemoryStore(clock=clock)), *more])


def drain(broker: stub.StubBroker, *, ahead: int = 0, raises: bool = False) -> None:
    """Work off a stub broker's queues and every window that is due, with what that leads to, in this thread.

    With `ahead` (ms) the manual clock goes that far, from one due time to the next, and what becomes due on the way is
    worked off at its time. With `raises` the first error of an actor ends it; what is left is left for the next drain.
    """
    if ahead and not any(isinstance(m, ManualTime) for m in broker.middleware):
        raise ValueError("only a broker with ManualTime can be drained ahead")
    with _at_work(broker, raises) as work:
        until = work.now() + ahead
        work.off()
        while ahead and (at := work.next_time()) <= until:
            work.advance(at)
            work.off()
        if ahead:
            work.advance(until)


@contextmanager
def _at_work(broker: stub.StubBroker, raises: bool) -> Iterator[_Work]:
    """Boot and shut down as a worker does, for middleware that needs it, but for what starts threads of its own."""
    worker = Worker(broker)
    broker.emit_before("worker_boot", worker)
    try:
        yield _Work(broker, raises)
    finally:
        broker.emit_before("worker_shutdown", worker)
        broker.emit_after("worker_shutdown", worker)


class _Work:
    """Dramatiq's worker, one message at a time."""

    def __init__(self, broker: stub.StubBroker, raises: bool) -> None:
        self.broker, self.raises = broker, raises
        self.time = next((m for m in broker.middleware if isinstance(m, ManualTime)), None)
        self.store: Store | None = next((m.store for m in broker.middleware if isinstance(m, Debounce)), None)
        self.pump = Pump(broker, self.store) if self.store else None
        self.tasks: PriorityQueue[Any] = PriorityQueue()
        self.consumers: dict[str, ConsumerThread] = {}
        self.worker = WorkerThread(broker=broker, consumers=self.consumers, work_queue=self.tasks, worker_timeout=1)

    # --- time ---
    def now(self) -> int:
        return self.time.now() if self.time else current_millis()

    def advance(self, at: int) -> None:
        if self.time:
            self.time.clock.advance(max(0, at - self.now()))

    def next_time(self) -> int:
        """Return when the next window, repetition or delayed message is due; without any, never."""
        looks = [survey.oldest_due_in for survey in self.store.survey()] if self.store else []
        return min([self.now() + look for look in looks if look is not None] + self._etas(), default=1 << 62)

    def _etas(self) -> list[int]:
        return [_eta(data) for name in self.broker.delay_queues for data in list(self.broker.queues[name].queue)]

    # --- work ---
    def off(self) -> None:
        """Run until nothing is due."""
        while self._step():
            pass

    def _step(self) -> bool:
        self._promote()
        if self.pump:
            self.pump.step()
        waiting = [name for name in self._queues() if not self.broker.queues[name].empty()]
        for name in waiting:
            self._run(name)
        return bool(waiting)

    def _queues(self) -> list[str]:
        return [name for name in self.broker.queues if name not in self.broker.delay_queues]

    def _promote(self) -> None:
        """Put delayed messages whose time has come where they belong, the earliest first."""
        for name in list(self.broker.delay_queues):
            queue = self.broker.queues[name]
            for data in sorted(iter_queue(queue), key=_eta):
                if _eta(data) <= self.now():
                    self._enqueue(MessageProxy(Message.decode(data)))
                else:
                    queue.put(data)
                queue.task_done()

    def _enqueue(self, message: MessageProxy) -> None:
        self.broker.emit_before("delay_message", message)
        del message.options["eta"]
        self.broker.enqueue(message._message.copy(queue_name=q_name(message.queue_name)))

    def _run(self, name: str) -> None:
        consumer = self._consumer(name)
        assert consumer.consumer is not None
        message = next(consumer.consumer)
        assert message is not None
        consumer.handle_message(message)  # a dead letter if nobody knows its actor
        if not self.tasks.empty():
            self.worker.process_message(self.tasks.get().message)
        error = message._exception
        if self.raises and error is not None and not isinstance(error, Retry):
            raise error

    def _consumer(self, name: str) -> ConsumerThread:
        if name not in self.consumers:
            thread = ConsumerThread(
                broker=self.broker, queue_name=name, prefetch=1, work_queue=self.tasks, worker_timeout=1
            )
            thread.consumer = self.broker.consume(name, prefetch=1, timeout=1)
            self.consumers[name] = thread
        return self.consumers[name]


def _eta(data: bytes) -> int:
    eta: int = Message.decode(data).options["eta"]
    return eta


__all__ = ["ManualClock", "ManualTime", "MemoryStore", "StubBroker", "drain", "stub_broker"]

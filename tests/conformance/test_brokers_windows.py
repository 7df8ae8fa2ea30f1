"""A worker holds more messages while its calls are quick, and leaves the others to other workers when they are not."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chatbot.brokers.window import SLOW, Prefetch, Window
from chatbot.brokers.worker import Worker
from chatbot.middleware import declare
from tests.conformance.broker_harness import Transport
from tests.waiting import wait_until

THREADS = 4
NARROW = 2 * THREADS
BACKLOG = 4_000

pytestmark = pytest.mark.parametrize("transport", ["redis", "rabbitmq"], indirect=True)


class Crew:
    """A worker whose calls are quick until it holds enough; from then on each waits for leave, and is slow."""

    def __init__(self, transport: Transport, worker_prefetch: int = 0) -> None:
        self.broker, self.queue = transport.broker(), transport.queue()
        self.actor = declare(self.broker, self._run, actor_name="call", queue_name=self.queue)
        self.worker = Worker(self.broker, worker_threads=THREADS)
        self.worker.queue_prefetch = worker_prefetch or self.worker.queue_prefetch
        self.ran: list[int] = []
        #: The most that the worker held while calls were quick.
        self.most = 0
        self.enough = 0
        self._begun = itertools.count(1)
        self._leave = threading.Semaphore(0)
        self._slow, self._over = threading.Event(), threading.Event()
        self.running = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        return self.worker.work_queue.qsize() + self.running

    @property
    def window(self) -> Window:
        return self.worker.consumers[self.queue].consumer._window  # type: ignore[union-attr]

    def release(self, count: int) -> None:
        self._leave.release(count)

    @contextmanager
    def working(self) -> Iterator[None]:
        self.worker.start()
        try:
            yield
        finally:
            self._over.set()
            self.release(BACKLOG)
            self.worker.stop(timeout=10_000)

    def _run(self, number: int) -> None:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.held)
            if self.enough and self.most >= self.enough:
                self._slow.set()
        if self._slow.is_set() and not self._over.is_set():
            self._leave.acquire()
            time.sleep(SLOW / 4)  # a slow call, with or without the wait
        with self._lock:
            self.running -= 1
            self.ran.append(number)


def test_a_worker_holds_more_while_its_calls_are_quick_and_fetches_no_more_when_they_are_slow(
    transport: Transport,
) -> None:
    crew = Crew(transport)
    crew.enough = 2 * NARROW
    crew.broker.enqueue_many([crew.actor.message(n) for n in range(BACKLOG)])
    with crew.working():
        wait_until(lambda: crew.running == THREADS and crew.most >= crew.enough)
        wait_until(lambda: crew.window.size() == NARROW)
        # What is still under way arrives, or has gone back.
        wait_until(lambda: transport.waiting(crew.queue) + crew.held + len(crew.ran) == BACKLOG)
        had, left = crew.held, transport.waiting(crew.queue)
        assert had > NARROW
        done = len(crew.ran)
        crew.release(had)
        wait_until(lambda: len(crew.ran) == done + had)
        # On RabbitMQ the narrow window is one of its own, which opened as its part of the wide one was done.
        wait_until(lambda: transport.waiting(crew.queue) + crew.held == BACKLOG - done - had)
        assert crew.held <= NARROW
        assert left - transport.waiting(crew.queue) <= NARROW


def test_a_prefetch_that_somebody_wants_is_exact(transport: Transport) -> None:
    crew = Crew(transport, 6)
    crew.broker.enqueue_many([crew.actor.message(n) for n in range(500)])
    with crew.working():
        wait_until(lambda: len(crew.ran) == 500)
    assert crew.most <= 6


def test_nothing_is_lost_or_repeated_however_often_the_window_changes(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = itertools.cycle([NARROW, 4 * NARROW])
    monkeypatch.setattr(Window, "size", lambda window: next(wide) if window.wide > window.narrow else window.narrow)
    crew = Crew(transport)
    assert isinstance(crew.worker.queue_prefetch, Prefetch)
    crew.broker.enqueue_many([crew.actor.message(n) for n in range(BACKLOG)])
    with crew.working():
        wait_until(lambda: len(crew.ran) >= BACKLOG, 60)
        wait_until(lambda: transport.waiting(crew.queue) == 0)
    assert sorted(crew.ran) == list(range(BACKLOG))

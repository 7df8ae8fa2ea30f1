"""Fair shares of the queues, under a load that one worker cannot keep up with."""

from __future__ import annotations

import threading
import time

from chatbot.brokers.worker import Worker
from chatbot.middleware import declare
from tests.conformance.broker_harness import Transport
from tests.waiting import wait_until

BACKLOG = 240
FEW = 12


def test_low_still_moves_and_high_does_not_wait_while_default_has_a_backlog(transport: Transport) -> None:
    begun: list[str] = []
    ran: list[str] = []
    gate = threading.Event()
    broker = transport.broker()
    names = {name: transport.queue(name) for name in ("high", "default", "low")}
    actors = {}
    for name, queue in names.items():

        def run(name: str = name) -> None:
            begun.append(name)
            assert gate.wait(60)
            time.sleep(0.005)
            ran.append(name)

        actors[name] = declare(broker, run, actor_name=name, queue_name=queue)
    broker.enqueue_many([actors["default"].message() for _ in range(BACKLOG)])
    broker.enqueue_many([actors["low"].message() for _ in range(FEW)])
    broker.enqueue_many([actors["high"].message() for _ in range(FEW)])
    weights = {names["high"]: 8, names["default"]: 3, names["low"]: 1}
    worker = Worker(broker, worker_threads=4, weights=weights, reserved=names["high"])
    worker.queue_prefetch = 2 * FEW

    def arrived(name: str) -> bool:
        waiting = [message.queue_name for message in worker.work_queue.waiting(1_000)]
        return begun.count(name) + waiting.count(names[name]) == FEW

    worker.start()
    try:
        # So that nothing but the shares decides, and not whose consumer was there first.
        wait_until(lambda: arrived("high") and arrived("low"))
        gate.set()
        wait_until(lambda: len(ran) == BACKLOG + 2 * FEW, 60)
    finally:
        gate.set()
        worker.stop(timeout=10_000)
    left = {name: ran[_last(ran, name) :].count("default") for name in ("high", "low")}
    # One of four is low's, so its last is done after about FEW * 4 runs.
    assert left["high"] > BACKLOG / 2, ran
    assert left["low"] > BACKLOG / 2, ran


def test_urgent_work_runs_while_every_other_thread_is_busy(transport: Transport) -> None:
    broker, free, ran = transport.broker(), threading.Event(), threading.Event()
    queues = [transport.queue("high"), transport.queue("default")]
    urgent = declare(broker, lambda: ran.set(), actor_name="urgent", queue_name=queues[0])
    slow = declare(broker, lambda: free.wait(60) and None, actor_name="slow", queue_name=queues[1])
    broker.enqueue_many([slow.message() for _ in range(20)])
    worker = Worker(broker, worker_threads=3, reserved=queues[0])
    worker.start()
    try:
        urgent.send()
        assert ran.wait(10)
    finally:
        free.set()
        worker.stop(timeout=10_000)


def _last(ran: list[str], name: str) -> int:
    return len(ran) - 1 - ran[::-1].index(name)

"""What a broker of ours does for who uses no guard."""

from __future__ import annotations

import dramatiq
from dramatiq.middleware import Retries

from chatbot.brokers.stub import StubBroker
from chatbot.brokers.worker import Worker
from tests.waiting import wait_until


def test_dramatiqs_own_retries_send_the_delivery_again() -> None:
    broker, runs = StubBroker(middleware=[Retries(min_backoff=1, max_backoff=1)]), list[int]()

    @dramatiq.actor(broker=broker, max_retries=1)
    def once_more(number: int) -> None:
        runs.append(number)
        if len(runs) == 1:
            raise RuntimeError("not yet")

    worker = Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    try:
        broker.queues["default"].put(once_more.message(7).encode())  # as a plain producer's: no guard has seen it
        wait_until(lambda: len(runs) == 2)
    finally:
        worker.stop()
    assert runs == [7, 7]

"""Every broker emits Dramatiq's signals as they are documented, whichever way a message is enqueued."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from dramatiq import Broker
from dramatiq.middleware import Middleware

from chatbot.middleware import declare
from chatbot.middleware.patience import keep
from tests.conformance.broker_harness import Transport
from tests.waiting import wait_until


class Witness(Middleware):
    """Writes down what it is told about messages and queues."""

    def __init__(self) -> None:
        super().__init__()
        self.enqueued: list[tuple[str, int, int | None]] = []
        self.ended: list[tuple[str, int]] = []
        self.declared: list[tuple[str, str]] = []

    def before_declare_queue(self, broker: Broker, queue_name: str) -> None:
        self.declared.append(("before", queue_name))

    def after_declare_queue(self, broker: Broker, queue_name: str) -> None:
        self.declared.append(("after", queue_name))

    def before_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        self.enqueued.append(("before", message.args[0], delay))

    def after_enqueue(self, broker: Broker, message: Any, delay: int | None) -> None:
        self.enqueued.append(("after", message.args[0], delay))

    def before_ack(self, broker: Broker, message: Any) -> None:
        self.ended.append(("before ack", message.args[0]))

    def after_ack(self, broker: Broker, message: Any) -> None:
        self.ended.append(("after ack", message.args[0]))

    def before_nack(self, broker: Broker, message: Any) -> None:
        self.ended.append(("before nack", message.args[0]))

    def after_nack(self, broker: Broker, message: Any) -> None:
        self.ended.append(("after nack", message.args[0]))


def test_enqueueing_is_announced_once_for_each_message_with_its_delay(transport: Transport) -> None:
    witness = Witness()
    broker = transport.broker(witness)
    actor = declare(broker, print, queue_name=transport.queue())
    broker.enqueue(actor.message(0))
    broker.enqueue_many([actor.message(n) for n in (1, 2)])
    broker.enqueue(actor.message(3), delay=60_000)
    wanted = [(n, None) for n in (0, 1, 2)] + [(3, 60_000)]
    assert Counter(witness.enqueued) == Counter((when, n, delay) for when in ("before", "after") for n, delay in wanted)


def test_a_queue_is_announced_once(transport: Transport) -> None:
    witness = Witness()
    broker = transport.broker(witness)
    queue = transport.queue()
    for name in ("a", "b"):
        declare(broker, print, actor_name=name, queue_name=queue)
    assert witness.declared == [("before", queue), ("after", queue)]


def test_acknowledgements_and_rejections_are_announced(transport: Transport) -> None:
    def run(number: int) -> None:
        if number:
            raise RuntimeError("hopeless")

    witness = Witness()
    broker = transport.broker(witness)
    actor = declare(broker, run, queue_name=transport.queue(), max_retries=0)
    with transport.worker(broker):
        broker.enqueue_many([actor.message(0), actor.message(1)])
        wait_until(lambda: len(witness.ended) == 4)
    assert [what for what, n in witness.ended if n == 0] == ["before ack", "after ack"]
    assert [what for what, n in witness.ended if n == 1] == ["before nack", "after nack"]


class Keeper(Middleware):
    """Keeps the first delivery of a message from being settled."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[str] = []

    def after_process_message(self, broker: Broker, message: Any, *, result: Any = None, exception: Any = None) -> None:
        if not self.kept:
            self.kept.append(message.message_id)
            keep(message)


def test_a_kept_message_is_delivered_again_without_an_error(
    transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    broker = transport.broker(Keeper())
    runs: list[int] = []
    actor = declare(broker, runs.append, queue_name=transport.queue())
    with transport.worker(broker):
        actor.send(1)
        wait_until(lambda: len(runs) == 2)
    assert [record.getMessage() for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")] == []
    assert transport.waiting(actor.queue_name) == 0


def test_many_delays_that_end_together_run_once_each(transport: Transport) -> None:
    calls: list[int] = []
    broker = transport.broker()
    actor = declare(broker, calls.append, queue_name=transport.queue())
    with transport.worker(broker):
        for number in range(100):
            actor.send_with_options(args=(number,), delay=500)
        wait_until(lambda: len(calls) >= 100)
        actor.send(100)
        wait_until(lambda: 100 in calls)
    assert sorted(calls) == list(range(101))

"""Every broker delivers what is enqueued, when it is due, until it is done."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from dramatiq.message import Message

from chatbot.middleware import declare
from tests.conformance.broker_harness import QUICK, Transport
from tests.waiting import wait_until


def numbered(actor: Any, count: int) -> list[Message[Any]]:
    return [actor.message(n) for n in range(count)]


def unknown(queue: str) -> Message[Any]:
    return Message(queue_name=queue, actor_name="nobody", args=(), kwargs={}, options={})


# --- sending ---
def test_a_call_runs_once_with_its_arguments(transport: Transport) -> None:
    calls: list[Any] = []
    broker = transport.broker()
    actor = declare(broker, lambda *args, **kwargs: calls.append((args, kwargs)), queue_name=transport.queue())
    with transport.worker(broker, threads=1):
        actor.send(1, "zwei", three=[3, {"vier": None}])
        actor.send("last")
        wait_until(lambda: (("last",), {}) in calls)
    assert calls == [((1, "zwei"), {"three": [3, {"vier": None}]}), (("last",), {})]
    assert transport.waiting(actor.queue_name) == 0


def test_what_is_enqueued_comes_back_with_its_outcome(transport: Transport) -> None:
    broker = transport.broker()
    actor = declare(broker, print, queue_name=transport.queue())
    message = actor.message("hello")
    enqueued = broker.enqueue(message)
    assert enqueued.options["outcome"] == "enqueued"
    assert (enqueued.message_id, enqueued.args) == (message.message_id, message.args)
    assert "outcome" not in message.options
    assert transport.waiting(actor.queue_name) == 1


def test_a_batch_for_several_queues_runs_completely(transport: Transport) -> None:
    calls: list[int] = []
    broker = transport.broker()
    actors = [
        declare(broker, calls.append, actor_name=name, queue_name=transport.queue(name)) for name in ("a", "b", "c")
    ]
    batch = [actors[n % 3].message(n) for n in range(100)]
    enqueued = broker.enqueue_many(batch)
    assert [m.message_id for m in enqueued] == [m.message_id for m in batch]
    assert {m.options["outcome"] for m in enqueued} == {"enqueued"}
    with transport.worker(broker):
        wait_until(lambda: len(calls) >= 100)
    assert sorted(calls) == list(range(100))


def test_an_empty_batch_is_no_batch(transport: Transport) -> None:
    assert transport.broker().enqueue_many([]) == []


def test_a_worker_takes_only_the_queues_it_is_given(transport: Transport) -> None:
    calls: list[str] = []
    broker = transport.broker()
    ours = declare(broker, calls.append, actor_name="ours", queue_name=transport.queue("ours"))
    others = declare(broker, calls.append, actor_name="others", queue_name=transport.queue("others"))
    others.send("others")
    with transport.worker(broker, queues={ours.queue_name}):
        ours.send("ours")
        wait_until(lambda: calls)
    assert calls == ["ours"]
    assert transport.waiting(others.queue_name) == 1


# --- delays ---
@pytest.mark.parametrize("delay", [0, 300])
def test_a_delayed_call_runs_not_before_its_time(transport: Transport, delay: int) -> None:
    started: list[float] = []
    broker = transport.broker()
    actor = declare(broker, lambda: started.append(time.time()), queue_name=transport.queue())
    with transport.worker(broker):
        sent = int(time.time() * 1000)  # brokers count in whole ms
        actor.send_with_options(delay=delay)
        wait_until(lambda: started)
    assert started[0] * 1000 >= sent + delay


def test_a_shorter_delay_overtakes_a_longer_one(transport: Transport) -> None:
    calls: list[int] = []
    broker = transport.broker()
    actor = declare(broker, calls.append, queue_name=transport.queue())
    with transport.worker(broker, threads=1):
        for delay in (3_000, 200):
            actor.send_with_options(args=(delay,), delay=delay)
        wait_until(lambda: len(calls) == 2)
    assert calls == [200, 3_000]


# --- failures ---
def test_a_failing_call_is_retried_and_ends_as_a_dead_letter(transport: Transport) -> None:
    runs: list[int] = []

    def fail(number: int) -> None:
        runs.append(number)
        raise RuntimeError("again")

    broker = transport.broker()
    actor = declare(broker, fail, queue_name=transport.queue(), max_retries=2, **QUICK)
    with transport.worker(broker):
        sent = actor.send(7)
        (dead,) = wait_until(lambda: transport.dead(actor.queue_name))
    assert runs == [7, 7, 7]
    assert (dead.message_id, dead.args) == (sent.message_id, (7,))
    assert transport.waiting(actor.queue_name) == 0


def test_a_call_that_recovers_leaves_no_dead_letter(transport: Transport) -> None:
    runs: list[int] = []

    def recover() -> None:
        runs.append(1)
        if len(runs) < 3:
            raise RuntimeError("not yet")

    broker = transport.broker()
    actor = declare(broker, recover, queue_name=transport.queue(), max_retries=5, **QUICK)
    with transport.worker(broker):
        actor.send()
        wait_until(lambda: len(runs) == 3)
    assert transport.dead(actor.queue_name) == []
    assert transport.waiting(actor.queue_name) == 0


@pytest.mark.parametrize("delay", [None, 50])
def test_a_call_of_an_unknown_actor_becomes_a_dead_letter_and_the_others_go_on(
    transport: Transport, delay: int | None
) -> None:
    calls: list[str] = []
    broker = transport.broker()
    actor = declare(broker, calls.append, queue_name=transport.queue())
    # As a producer that knows the actor would send it.
    producer = transport.stock()
    producer.declare_queue(actor.queue_name)
    producer.enqueue(unknown(actor.queue_name), delay=delay)
    with transport.worker(broker):
        wait_until(lambda: [m.actor_name for m in transport.dead(actor.queue_name)] == ["nobody"])
        actor.send_with_options(args=("known",), delay=delay)
        wait_until(lambda: calls == ["known"])
    assert transport.waiting(actor.queue_name) == 0


def test_an_actor_that_only_others_have_can_be_sent_to(transport: Transport) -> None:
    broker = transport.broker()
    queue = transport.queue()
    broker.declare_queue(queue)
    assert broker.enqueue(unknown(queue)).options["outcome"] == "enqueued"
    assert transport.waiting(queue) == 1


# --- workers ---
def open_when_stopping(worker: Any, gate: threading.Event) -> None:
    """Let a worker's busy thread go on once it knows that it is to stop."""

    def watch() -> None:
        wait_until(lambda: not worker.workers[0].running)
        gate.set()

    threading.Thread(target=watch).start()


def test_what_a_stopped_worker_has_not_run_is_run_by_the_next(transport: Transport) -> None:
    calls: list[int] = []
    gate = threading.Event()

    def run(number: int) -> None:
        calls.append(number)
        assert gate.wait(10)

    queue = transport.queue()
    broker = transport.broker()
    actor = declare(broker, run, actor_name="run", queue_name=queue)
    broker.enqueue_many(numbered(actor, 20))
    with transport.worker(broker, threads=1) as worker:
        wait_until(lambda: calls and not worker.work_queue.empty())
        open_when_stopping(worker, gate)
    assert len(calls) == 1
    successor = transport.broker()
    declare(successor, run, actor_name="run", queue_name=queue)
    with transport.worker(successor):
        wait_until(lambda: len(calls) >= 20)
    assert sorted(calls) == list(range(20))


def test_a_delay_outlives_the_worker_that_waits_for_it(transport: Transport) -> None:
    calls: list[int] = []
    queue = transport.queue()
    broker = transport.broker()
    actor = declare(broker, calls.append, actor_name="run", queue_name=queue)
    for number in range(3):
        actor.send_with_options(args=(number,), delay=4_000)
    with transport.worker(broker):
        actor.send(-1)
        wait_until(lambda: calls == [-1])
    calls.clear()
    successor = transport.broker()
    declare(successor, calls.append, actor_name="run", queue_name=queue)
    with transport.worker(successor):
        wait_until(lambda: len(calls) >= 3)
    assert sorted(calls) == list(range(3))


# --- the connection ---
def test_a_broker_that_is_up_answers_a_ping(transport: Transport) -> None:
    transport.broker().ping()

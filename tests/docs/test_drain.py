"""`drain` runs what is due, when it is due by the manual clock, and nothing else."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from dramatiq import Message
from dramatiq.brokers import stub
from dramatiq.errors import ActorNotFound, Retry
from dramatiq.middleware import AsyncIO

from chatbot.errors import Suppressed
from chatbot.middleware import Debounced, current_turn, declare, guarded_stack, guards
from chatbot.testing import ManualClock, ManualTime, MemoryStore, StubBroker, drain, stub_broker

SOON = Debounced(key=lambda item: item[0], wait=2_000, max_wait=10_000, backoff=1_000, max_backoff=1_000)
MAILBOX = Debounced(key=lambda item: item[0], wait=0, max_wait=0, max_items=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def broker(clock: ManualClock) -> StubBroker:
    return stub_broker(clock)


def test_a_delayed_call_runs_at_its_time(broker: StubBroker, clock: ManualClock) -> None:
    runs: list[str] = []
    actor = declare(broker, runs.append)
    actor.send_with_options(args=("later",), delay=5_000)
    actor.send_with_options(args=("sooner",), delay=4_000)
    drain(broker)
    clock.advance(3_999)
    drain(broker)
    assert runs == []
    clock.advance(1)
    drain(broker)
    assert runs == ["sooner"]
    drain(broker, ahead=1_000)
    assert runs == ["sooner", "later"]


def test_delayed_calls_run_in_the_order_of_their_times(broker: StubBroker, clock: ManualClock) -> None:
    runs: list[str] = []
    actor = declare(broker, runs.append)
    for name, delay in (("c", 3), ("a", 1), ("b", 2)):
        actor.send_with_options(args=(name,), delay=delay)
    clock.advance(3)
    drain(broker)
    assert runs == ["a", "b", "c"]


def test_going_ahead_ends_where_it_was_told_to(broker: StubBroker, clock: ManualClock) -> None:
    before, times = clock(), list[int]()
    actor = declare(broker, lambda items: times.append(clock() - before), actor_name="burst", debounced=SOON)
    actor.send("a1")
    drain(broker, ahead=1_999)
    assert times == []
    drain(broker, ahead=500)
    assert times == [2_000_000]
    assert clock() - before == 2_499_000


def test_follow_ups_run_with_the_turn_that_left_them(broker: StubBroker) -> None:
    said: list[list[str]] = []
    say = declare(broker, lambda items: said.append(items), actor_name="say", debounced=MAILBOX)

    def answer(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        for item in items:
            turn.then(say.message(item))

    actor = declare(broker, answer, debounced=SOON)
    actor.send("a1")
    actor.send("a2")
    drain(broker, ahead=2_000)
    assert said == [["a1"], ["a2"]]


def test_a_call_that_runs_may_send_another(broker: StubBroker) -> None:
    runs: list[int] = []

    def count(down: int) -> None:
        runs.append(down)
        if down:
            actor.send(down - 1)

    actor = declare(broker, count)
    actor.send(3)
    drain(broker)
    assert runs == [3, 2, 1, 0]


def test_retries_come_at_their_time_and_end_as_dead_letters(broker: StubBroker) -> None:
    runs: list[str] = []

    def fail(item: str) -> None:
        runs.append(item)
        raise ValueError

    actor = declare(broker, fail, max_retries=2, min_backoff=1_000, max_backoff=1_000)
    actor.send("x")
    drain(broker)
    assert len(runs) == 1
    drain(broker, ahead=2_000)
    assert len(runs) == 3
    assert [letter.args for letter in broker.dead_letters] == [("x",)]


def test_an_error_ends_the_drain_and_the_rest_is_left_for_the_next(broker: StubBroker) -> None:
    runs: list[str] = []

    def run(item: str) -> None:
        runs.append(item)
        if item == "bad":
            raise ValueError(item)

    actor = declare(broker, run, max_retries=0)
    for item in ("bad", "good"):
        actor.send(item)
    with pytest.raises(ValueError, match="bad"):
        drain(broker, raises=True)
    assert runs == ["bad"]
    drain(broker, raises=True)
    assert runs == ["bad", "good"]


def test_a_retry_that_was_asked_for_is_no_error(broker: StubBroker) -> None:
    runs: list[int] = []

    def run() -> None:
        runs.append(1)
        if len(runs) == 1:
            raise Retry(delay=10)

    declare(broker, run).send()
    drain(broker, ahead=10, raises=True)
    assert len(runs) == 2


def test_a_message_for_nobody_is_a_dead_letter(broker: StubBroker) -> None:
    broker.declare_queue("default")
    for _ in range(2):
        broker.enqueue(Message("default", "nobody", (), {}, {}))
    with pytest.raises(ActorNotFound):
        drain(broker, raises=True)
    drain(broker)
    assert len(broker.dead_letters) == 2


def test_dramatiqs_own_stub_broker_is_drained_too(clock: ManualClock) -> None:
    broker, runs = stub.StubBroker(), list[list[str]]()
    for middleware in (ManualTime(clock), *guards(MemoryStore(clock=clock))):
        broker.add_middleware(middleware)
    attempts: list[int] = []

    def burst(items: list[str]) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError
        runs.append(items)

    actor = declare(broker, burst, debounced=SOON)
    for item in ("a1", "a2"):
        with pytest.raises(Suppressed):
            actor.send(item)
    drain(broker, ahead=3_600_000)
    assert runs == [["a1", "a2"]]
    assert broker.dead_letters == []


def test_actors_may_be_async(clock: ManualClock) -> None:
    broker, runs = stub_broker(clock, [AsyncIO()]), list[list[str]]()

    async def burst(items: list[str]) -> None:
        runs.append(items)

    actor: Any = declare(broker, burst, debounced=MAILBOX)
    actor.send("a1")
    drain(broker, raises=True)
    assert runs == [["a1"]]


def test_only_a_manual_clock_can_be_advanced() -> None:
    broker = StubBroker(middleware=guarded_stack(MemoryStore()))
    with pytest.raises(ValueError, match="ManualTime"):
        drain(broker, ahead=1)


def test_nothing_is_left_running(broker: StubBroker) -> None:
    declare(broker, lambda items: None, actor_name="burst", debounced=MAILBOX).send("a1")
    before = {thread.name for thread in threading.enumerate()}
    drain(broker)
    assert {thread.name for thread in threading.enumerate()} - before <= {"heartbeat"}

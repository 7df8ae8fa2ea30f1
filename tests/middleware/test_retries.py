"""Ordinary messages: no retry is lost, and errors say what they need."""

from __future__ import annotations

import time
from collections.abc import Callable

import dramatiq
import pytest
from dramatiq import Retry
from dramatiq.middleware import Middleware, TimeLimit
from dramatiq.threading import Interrupt

from chatbot.brokers.stub import StubBroker
from chatbot.errors import NotComposable, Permanent, PolicyInvalid, Transient
from chatbot.middleware import Retries, guarded_stack
from tests.middleware.running import CutBroker, House, TroubledStore
from tests.waiting import wait_until


class Failing:
    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    def run(self) -> None:
        self.times.append(time.monotonic())
        if self.errors:
            raise self.errors.pop(0)


def test_a_retry_waits_for_a_broker_that_is_down(memory: House) -> None:
    failing = Failing()

    def run() -> None:
        memory.broker.cut = not failing.times
        failing.run()
        if len(failing.times) == 1:
            raise ValueError

    actor = memory.declare(run)
    memory.work()
    actor.send()
    wait_until(lambda: memory.broker.cut)
    time.sleep(0.2)  # several tries
    memory.broker.cut = False
    wait_until(lambda: len(failing.times) == 2)
    memory.drained()
    assert memory.dead == []


def test_a_message_whose_retry_cannot_be_enqueued_is_not_acknowledged(memory: House) -> None:
    def run() -> None:
        memory.broker.cut = True
        raise ValueError

    actor = memory.declare(run)
    memory.work()
    actor.send()
    wait_until(lambda: memory.broker.cut)
    memory.stop()
    assert memory.broker.queues[actor.queue_name].unfinished_tasks == 1
    assert memory.dead == []


class Unwilling(CutBroker):
    """Refuses delayed messages."""

    def enqueue(self, message, *, delay=None):  # type: ignore[no-untyped-def]
        if delay is not None:
            raise ValueError("no delays here")
        return super().enqueue(message, delay=delay)


def test_a_message_that_can_never_be_retried_is_a_dead_letter(new_house: Callable[..., House]) -> None:
    house = new_house(kind=Unwilling)
    failing = Failing(ValueError())
    actor = house.declare(failing.run, actor_name="r")
    house.work()
    actor.send()
    wait_until(lambda: len(house.dead) == 1)


def test_a_bug_in_retry_when_is_a_dead_letter(memory: House) -> None:
    actor = memory.declare(Failing(ValueError()).run, actor_name="r", retry_when=lambda retries, error: 1 // 0)
    memory.work()
    actor.send()
    wait_until(lambda: len(memory.dead) == 1)


@pytest.mark.parametrize("error", [Permanent("no"), PolicyInvalid("no"), NotComposable()])
def test_what_cannot_get_better_is_a_dead_letter_at_once(memory: House, error: Exception) -> None:
    failing = Failing(error)
    actor = memory.declare(failing.run, actor_name="r")
    memory.work()
    actor.send()
    wait_until(lambda: len(memory.dead) == 1)
    assert len(failing.times) == 1


@pytest.mark.parametrize("error", [Transient(retry_after=0.3), Retry("later", delay=300)])
def test_an_error_says_how_long_to_wait(house: House, error: Exception) -> None:
    failing = Failing(error)
    actor = house.declare(failing.run, actor_name="r")
    house.work()
    actor.send()
    wait_until(lambda: len(failing.times) == 2)
    assert failing.times[1] - failing.times[0] >= 0.29


@pytest.mark.parametrize("asked", [float("nan"), "soon", -1, None])
def test_an_error_that_asks_for_nonsense_is_retried_all_the_same(memory: House, asked: object) -> None:
    failing = Failing(type("Theirs", (Exception,), {"retry_after": asked})())
    actor = memory.declare(failing.run, actor_name="r")
    memory.work()
    actor.send()
    wait_until(lambda: len(failing.times) == 2)


def test_an_error_that_asks_for_too_long_is_retried_within_a_week(memory: House) -> None:
    actor = memory.declare(Failing(Transient(retry_after=float("inf"))).run, actor_name="r")
    memory.work()
    actor.send()
    delayed = memory.broker.queues[actor.queue_name + ".DQ"]
    wait_until(lambda: delayed.unfinished_tasks)


def test_an_error_that_asks_to_wait_can_still_be_one_that_the_actor_throws(memory: House) -> None:
    failing = Failing(Transient(retry_after=0))
    actor = memory.declare(failing.run, actor_name="r", throws=(Transient,))
    memory.work()
    actor.send()
    wait_until(lambda: len(memory.dead) == 1)


def test_retries_can_be_configured_like_dramatiqs(new_house: Callable[..., House]) -> None:
    house = new_house(TroubledStore(), [Retries(max_retries=1, min_backoff=1)])
    failing = Failing(ValueError(), ValueError(), ValueError())
    actor = house.declare(failing.run, actor_name="r")
    house.work()
    actor.send()
    wait_until(lambda: len(house.dead) == 1)
    assert len(failing.times) == 2


def test_a_time_limit_has_ended_before_a_retry_is_made() -> None:
    """An interrupt inside another middleware would end the worker's thread, and acknowledge its message."""
    order = [type(m) for m in guarded_stack(TroubledStore())]
    assert order.index(TimeLimit) > order.index(Retries)


def test_an_interrupt_while_a_retry_waits_leaves_the_message_unacknowledged(new_house: Callable[..., House]) -> None:
    class Interrupted(CutBroker):
        def enqueue(self, message, *, delay=None):  # type: ignore[no-untyped-def]
            if delay is not None:
                raise Interrupt
            return super().enqueue(message, delay=delay)

    house = new_house(kind=Interrupted)
    failing = Failing(ValueError())
    actor = house.declare(failing.run, actor_name="r")
    house.work(threads=1)
    actor.send()
    wait_until(lambda: len(failing.times) == 2)  # an acknowledged one would not be delivered again


def test_what_failed_together_comes_back_spread_over_the_whole_back_off() -> None:
    delays: list[int] = []

    class Look(Middleware):
        def before_enqueue(self, broker: dramatiq.Broker, message: dramatiq.Message[None], delay: int | None) -> None:
            delays.extend([] if delay is None else [delay])

    broker = StubBroker(middleware=[Retries(min_backoff=1_000, max_backoff=600_000), Look()])
    actor = dramatiq.actor(broker=broker)(Failing(*[RuntimeError()] * 50).run)
    for _ in range(50):
        actor.send_with_options(retries=4)
    worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
    worker.start()
    wait_until(lambda: len(delays) == 50)
    worker.stop()
    # Dramatiq's own, with its jitter, are 16 to 32 s.
    assert 1_000 <= min(delays) < 12_000 < 16_000 < max(delays) <= 32_000

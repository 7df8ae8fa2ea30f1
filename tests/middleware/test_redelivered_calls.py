"""A broker that redelivers a call has given up on whoever runs it: the call need not wait for a whole lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from dramatiq import Message, Middleware

from chatbot.brokers.stub import StubBroker
from chatbot.middleware import Idempotent, guarded_stack
from chatbot.middleware.idempotency import Idempotency
from chatbot.middleware.leases import Heartbeat, Held
from chatbot.stores.memory import ManualClock
from tests.middleware.running import House, TroubledStore
from tests.waiting import wait_until

LEASE = 60_000


class Redelivery(Middleware):
    """Says of chosen deliveries what a real broker says of a message that its last consumer never acknowledged."""

    def __init__(self) -> None:
        self.next = False

    def before_process_message(self, broker: Any, message: Any) -> None:
        message.redelivered, self.next = self.next, False


class Work:
    """An idempotent actor that is held inside, in a worker whose renewals may be missing."""

    def __init__(self, new_house: Callable[..., House], lease: int = LEASE) -> None:
        self.clock, self.redelivery, self.runs, self.gate = ManualClock(), Redelivery(), list[str](), threading.Event()
        self.store = TroubledStore(clock=self.clock)
        self.house = new_house(self.store)
        self.house.broker.add_middleware(self.redelivery)
        self.actor = self.house.declare(self.run, idempotent=Idempotent(key="{order}", lease=lease), store_results=True)
        self.house.work()

    def run(self, order: str) -> str:
        self.runs.append(order)
        assert self.gate.wait(60)
        return f"{order} #{len(self.runs)}"

    def begin(self) -> Message[Any]:
        """Return the call that is being run, by a worker from which nothing is heard any more."""
        self.store.down.add("renew")
        message: Message[Any] = self.actor.send("o1")
        wait_until(lambda: self.runs)
        return message

    def redeliver(self, message: Message[Any]) -> None:
        self.redelivery.next = True
        self.house.broker.enqueue(message.copy(options={"outcome": "enqueued"}))

    def waiting(self) -> None:
        """Return when a copy has come, and come back, once more since now."""
        before = self.store.calls["claim"]
        wait_until(lambda: self.store.calls["claim"] >= before + 2)


@pytest.fixture
def work(new_house: Callable[..., House]) -> Iterator[Work]:
    work = Work(new_house)
    yield work
    work.gate.set()


def test_a_redelivered_call_runs_again_when_half_of_the_lease_has_not_been_renewed(work: Work) -> None:
    """Only the first of its copies is told by the broker: those that come back know it, too."""
    message = work.begin()
    work.redeliver(message)
    work.waiting()
    work.clock.advance(LEASE // 2 - 1)
    work.waiting()
    assert work.runs == ["o1"]
    work.clock.advance(1)
    wait_until(lambda: len(work.runs) == 2)
    work.gate.set()
    assert work.house.result(message) == "o1 #2"


@pytest.mark.parametrize("who", ["a copy that the broker repeats", "another call, redelivered"])
def test_whoever_has_no_reason_to_suspect_the_owner_waits_for_the_whole_lease(work: Work, who: str) -> None:
    message = work.begin()
    if who == "another call, redelivered":
        work.redeliver(work.actor.message("o1"))
    else:
        work.house.broker.enqueue(message)
    work.waiting()
    work.clock.advance(LEASE - 1)
    work.waiting()
    assert work.runs == ["o1"]
    work.clock.advance(1)
    wait_until(lambda: len(work.runs) == 2)


def test_a_redelivered_call_does_not_disturb_a_run_that_goes_on(new_house: Callable[..., House]) -> None:
    """Its worker has lost its connection to the broker, and not to the store."""
    work = Work(new_house, lease=1_000)
    message = work.actor.send("o1")
    wait_until(lambda: work.runs)
    work.redeliver(message)
    for _ in range(4):
        before = work.store.calls["renew"]
        wait_until(lambda before=before: work.store.calls["renew"] > before)  # type: ignore[misc]
        work.clock.advance(499)
        work.waiting()
    work.gate.set()
    assert work.house.result(message) == "o1 #1"
    work.house.drained()
    assert work.runs == ["o1"]


def test_a_run_is_sure_of_its_key_for_as_long_as_no_suspicion_can_take_it() -> None:
    sure: list[int | None] = []

    class Watched(Heartbeat):
        def hold(self, held: Held) -> None:
            sure.append(held.grace)
            super().hold(held)

    store = TroubledStore()
    stack = [m for m in guarded_stack(store) if not isinstance(m, Idempotency)]
    house = House(store, StubBroker(middleware=[*stack, Idempotency(store, heartbeat=Watched(store))]))
    policy = Idempotent(key="{order}", lease=LEASE)
    actor = house.declare(lambda order: order, actor_name="i", idempotent=policy, store_results=True)
    house.work()
    try:
        house.result(actor.send("o1"))
    finally:
        house.close()
    assert sure == [LEASE // 2]

"""Steps of a run that are taken once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chatbot.errors import LeaseLost
from chatbot.middleware import Idempotent, once, once_async
from chatbot.stores.memory import ManualClock
from chatbot.stores.values import Claim
from tests.middleware.running import House, PatientAsyncIO, TroubledStore, window
from tests.waiting import wait_until


class Steps:
    """Two steps, the first of which is expensive; the first attempts fail after it."""

    def __init__(self, failures: int) -> None:
        self.failures, self.charged = failures, 0
        self.seen: list[object] = []

    def take(self) -> None:
        self.seen.append(once("charge", self.charge))
        if len(self.seen) <= self.failures:
            raise ValueError

    def charge(self) -> dict[str, int]:
        self.charged += 1
        return {"receipt": self.charged}


def test_a_step_of_a_turn_is_taken_once_over_all_attempts(house: House) -> None:
    steps = Steps(failures=2)
    actor = house.declare(lambda items: steps.take(), actor_name="turn", debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert steps.seen == [{"receipt": 1}] * 3


def test_another_turn_takes_its_own_steps(house: House) -> None:
    steps = Steps(failures=0)
    actor = house.declare(lambda items: steps.take(), actor_name="turns", debounced=window(wait=0))
    house.work()
    for item in ("a1", "a2"):
        actor.send(item)
        house.settled(actor)
    assert steps.seen == [{"receipt": 1}, {"receipt": 2}]


def test_a_step_of_an_idempotent_call_is_taken_once_over_all_retries(house: House) -> None:
    steps = Steps(failures=2)
    actor = house.declare(lambda order: steps.take(), actor_name="call", idempotent=Idempotent(key="{order}"))
    house.work()
    actor.send("o1")
    wait_until(lambda: len(steps.seen) == 3)
    assert steps.charged == 1


def test_steps_are_forgotten_with_their_key(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    steps = Steps(failures=0)
    actor = house.declare(lambda o: steps.take(), actor_name="c", idempotent=Idempotent(key="{o}", ttl=60_000))
    house.work()
    actor.send("o1")
    wait_until(lambda: len(steps.seen) == 1)
    house.drained()
    clock.advance(60_001)
    actor.send("o1")
    wait_until(lambda: len(steps.seen) == 2)
    assert steps.seen == [{"receipt": 1}, {"receipt": 2}]


def test_steps_of_other_keys_and_names_never_share_a_result(memory: House) -> None:
    seen: list[str] = []

    def run(order: str, step: str) -> None:
        seen.append(once(step, lambda: f"{order} {step}"))

    actor = memory.declare(run, idempotent=Idempotent(key="{order}"))
    memory.work()
    calls = [("o", "a/b"), ("o/a", "b"), ("p", "a:b"), ("p:a", "b"), ("p%3Aa", "b")]
    for call in calls:
        actor.send(*call)
    wait_until(lambda: len(seen) == len(calls))
    assert sorted(seen) == sorted(f"{order} {step}" for order, step in calls)


def test_a_step_that_failed_is_taken_again(memory: House) -> None:
    tried: list[int] = []

    def step() -> int:
        tried.append(1)
        if len(tried) == 1:
            raise ValueError
        return len(tried)

    results: list[int] = []
    actor = memory.declare(lambda items: results.append(once("s", step)), actor_name="s", debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert results == [2]


def test_the_failure_of_a_step_is_told_even_if_the_store_is_down(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    errors: list[BaseException] = []

    def run(items: list[str]) -> None:
        try:
            once("s", lambda: 1 // 0)
        except Exception as exc:
            errors.append(exc)

    memory.store.down = {"release"}
    actor = memory.declare(run, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert [type(error) for error in errors] == [ZeroDivisionError]


# --- asynchronous steps ---
class AsyncSteps(Steps):
    """The same, and both steps at once."""

    async def take_async(self, items: Any) -> None:
        taken = await asyncio.gather(once_async("charge", self.charge_async), once_async("note", self.charge_async))
        self.seen.append(sorted(step["receipt"] for step in taken))
        if len(self.seen) <= self.failures:
            raise ValueError

    async def charge_async(self) -> dict[str, int]:
        await asyncio.sleep(0)
        return self.charge()


@pytest.mark.parametrize("policy", [{"debounced": window(wait=0)}, {"idempotent": Idempotent(key="{items}")}])
def test_an_asynchronous_step_is_taken_once_over_all_attempts(house: House, policy: dict[str, Any]) -> None:
    house.broker.add_middleware(PatientAsyncIO())
    steps = AsyncSteps(failures=2)
    actor = house.declare(steps.take_async, **policy)
    house.work()
    actor.send("a1")
    wait_until(lambda: len(steps.seen) == 3)
    assert steps.seen == [[1, 2]] * 3


def test_an_asynchronous_step_that_failed_is_taken_again(memory: House) -> None:
    memory.broker.add_middleware(PatientAsyncIO())
    tried: list[int] = []
    seen: list[int] = []

    async def step() -> int:
        tried.append(1)
        if len(tried) == 1:
            raise ValueError
        return len(tried)

    async def run(items: list[str]) -> None:
        seen.append(await once_async("s", step))

    actor = memory.declare(run, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert seen == [2]


class WatchedStore(TroubledStore):
    """Knows which threads have asked it about steps."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_by: set[int] = set()

    def claim(self, key: str, *args: Any, **more: Any) -> Claim:
        if key.startswith("once:"):
            self.asked_by.add(threading.get_ident())
        return super().claim(key, *args, **more)


def test_the_event_loop_does_not_wait_for_the_store(new_house: Callable[..., House]) -> None:
    store = WatchedStore()
    house = new_house(store)
    house.broker.add_middleware(PatientAsyncIO())
    loops: list[int] = []

    async def run(items: list[str]) -> None:
        loops.append(threading.get_ident())
        await once_async("s", lambda: asyncio.sleep(0, "done"))

    actor = house.declare(run, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert store.asked_by
    assert loops[0] not in store.asked_by


def test_there_are_no_steps_outside_a_guarded_run() -> None:
    with pytest.raises(LeaseLost):
        once("s", lambda: 1)

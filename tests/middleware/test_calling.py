"""An actor is still a function, and a run is only a run when a worker delivers it."""

from __future__ import annotations

import asyncio
import functools
import itertools
import threading
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import TimeLimitExceeded

from chatbot.errors import LeaseLost
from chatbot.middleware import Deduplicated, Idempotent, Retries, current_turn, guards, once, steps, turns
from tests.middleware.running import House, PatientAsyncIO, TroubledStore, window
from tests.waiting import wait_until


def test_a_direct_call_is_unguarded(memory: House) -> None:
    def collect(items: list[str]) -> tuple[list[str], object]:
        return items, current_turn()

    debounced = memory.declare(collect, debounced=window())
    idempotent = memory.declare(lambda order: order, actor_name="i", idempotent=Idempotent(key="{order}"))
    assert debounced(["a1"]) == (["a1"], None)
    assert [idempotent("o1"), idempotent("o1")] == ["o1", "o1"]
    assert not sum(memory.store.calls[verb] for verb in ("offer", "claim", "begin"))  # type: ignore[attr-defined]


def test_a_direct_call_of_another_actor_inside_a_run_is_unguarded(house: House) -> None:
    seen: list[object] = []

    def inner(order: str) -> str:
        seen.append(order)
        return order

    idempotent = house.declare(inner, idempotent=Idempotent(key="{order}"))

    def outer(items: list[str]) -> None:
        for _ in range(2):
            idempotent("o1")
        seen.append(other(["b1"]))

    other = house.declare(lambda items: items, actor_name="other", debounced=window())
    actor = house.declare(outer, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert seen == ["o1", "o1", ["b1"]]


def test_an_actor_that_calls_itself_is_guarded_once(house: House) -> None:
    calls: list[int] = []

    def countdown(n: int) -> None:
        calls.append(n)
        if n:
            actor(n - 1)

    actor = house.declare(countdown, idempotent=Idempotent(key="always"))
    house.work()
    actor.send(3)
    wait_until(lambda: calls == [3, 2, 1, 0])


def test_async_actors_see_their_turn(new_house: Callable[..., House]) -> None:
    store = TroubledStore()
    house = new_house(store, [PatientAsyncIO(), Retries(), *guards(store)])
    seen: list[object] = []

    async def collect(items: list[str]) -> None:
        await asyncio.sleep(0)
        turn = current_turn()
        assert turn is not None
        seen.append((items, turn.attempt, once("step", lambda: "taken")))
        if turn.attempt == 1:
            raise ValueError

    actor = house.declare(collect, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert seen == [(["a1"], 1, "taken"), (["a1"], 2, "taken")]


def test_no_turn_is_left_on_a_worker_thread(memory: House) -> None:
    seen: list[object] = []
    plain = memory.declare(lambda: seen.append(current_turn()), actor_name="plain")

    def collect(items: list[str]) -> None:
        raise TimeLimitExceeded

    actor = memory.declare(collect, debounced=window(wait=0, attempts=1))
    memory.work(threads=1)
    actor.send("a1")
    memory.settled(actor)
    plain.send()
    wait_until(lambda: seen == [None])


def test_a_run_whose_end_was_cut_off_by_an_interrupt_is_over_for_the_next_one(memory: House) -> None:
    """As if the interrupt had come just after the variables were set."""
    seen: list[object] = []

    def leave_behind(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        assert turn.held is not None
        turns.running(turn).__enter__()
        steps.scope(turn.id, turn.held).__enter__()
        kept.append(turn)

    def look() -> None:
        seen.append(current_turn())
        try:
            once("step", lambda: 1)
        except LeaseLost:
            seen.append("no run")

    kept: list[Any] = []
    actor = memory.declare(leave_behind, debounced=window(wait=0))
    plain = memory.declare(look)
    memory.work(threads=1)
    actor.send("a1")
    memory.settled(actor)
    plain.send()
    wait_until(lambda: seen == [None, "no run"])


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_the_guards_in_the_list_does_not_matter(
    new_house: Callable[..., House], order: tuple[int, ...]
) -> None:
    store = TroubledStore()
    three = guards(store)
    house = new_house(store, [Retries(), *(three[i] for i in order)])
    runs: list[object] = []

    def collect(items: list[str]) -> None:
        runs.append(items)

    def charge(order: str) -> str:
        runs.append(order)
        return order

    debounced = house.declare(
        collect,
        debounced=window(),
        deduplicated=Deduplicated(window=60_000),
        idempotent=Idempotent(key=lambda item: item),
        store_results=True,
    )
    plain = house.declare(
        charge, deduplicated=Deduplicated(window=60_000), idempotent=Idempotent(key="{order}"), store_results=True
    )
    for item in ("a1", "a1", "a2"):
        debounced.send(item)
    house.work()
    house.settled(debounced)
    assert runs == [["a1", "a2"]]
    assert [house.result(plain.send("o1")) for _ in range(2)] == ["o1", "o1"]
    assert runs == [["a1", "a2"], "o1"]


def test_decorated_and_callable_objects_can_be_actors(memory: House) -> None:
    class Collector:
        __name__ = "Collector"
        __module__ = __name__

        def __init__(self) -> None:
            self.items: list[str] = []

        def __call__(self, items: list[str]) -> None:
            self.items += items

    def logged(fn: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(fn)
        def call(*args: Any) -> Any:
            return fn(*args)

        return call

    seen: list[list[str]] = []

    @logged
    def decorated(items: list[str]) -> None:
        seen.append(items)

    collector = Collector()
    actors = [memory.declare(fn, debounced=window(wait=0)) for fn in (collector, decorated)]
    memory.work()
    for actor in actors:
        actor.send("a1")
        memory.settled(actor)
    assert (collector.items, seen) == (["a1"], [["a1"]])


def test_a_function_can_be_declared_on_two_brokers(new_house: Callable[..., House]) -> None:
    runs: list[list[str]] = []

    def collect(items: list[str]) -> None:
        runs.append(items)

    for house in (new_house(), new_house()):
        actor = house.declare(collect, debounced=window(wait=0))
        house.work()
        actor.send("a1")
        house.settled(actor)
    assert runs == [["a1"], ["a1"]]


def test_a_policy_can_be_given_to_dramatiqs_own_decorator(memory: House) -> None:
    runs: list[list[str]] = []

    @dramatiq.actor(broker=memory.broker, debounced=window(wait=0))
    def collect(items: list[str]) -> None:
        runs.append(items)

    memory.work()
    collect.send("a1")
    memory.settled(collect)
    assert runs == [["a1"]]


def test_threads_of_a_run_see_its_turn_only_if_they_are_given_it(memory: House) -> None:
    seen: list[object] = []

    def collect(items: list[str]) -> None:
        thread = threading.Thread(target=lambda: seen.append(current_turn()))
        thread.start()
        thread.join()

    actor = memory.declare(collect, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert seen == [None]

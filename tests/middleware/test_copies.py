"""Copies of a turn's message: whatever the broker repeats or delays, one run counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.message import Message
from dramatiq.middleware import AgeLimit, Callbacks, Pipelines, Retries, TimeLimit
from dramatiq.results import ResultMissing

from chatbot.middleware import Turn, current_turn, guards
from chatbot.middleware.pump import Pump
from chatbot.stores.memory import ManualClock, MemoryStore
from tests.middleware.running import House, TroubledStore, window
from tests.waiting import wait_until


class Publications:
    """Turns of an actor, handed over by hand, so that every copy is known."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.runs: list[Turn] = []
        self.hold = threading.Event()
        self.hold.set()
        self.actor = house.declare(self.collect, debounced=window(wait=0), store_results=True)

    def collect(self, items: list[str]) -> str:
        turn = current_turn()
        assert turn is not None
        self.runs.append(turn)
        assert self.hold.wait(10)
        return "+".join(items)

    def publish(self) -> list[Message[Any]]:
        before = len(self.messages)
        Pump(self.house.broker, self.house.store, again=200).step()
        return self.messages[before:]

    @property
    def messages(self) -> list[Message[Any]]:
        queue = self.house.broker.queues[self.actor.queue_name]
        return [Message.decode(data) for data in list(queue.queue)]

    def deliver(self, message: Message[Any]) -> None:
        self.house.broker.enqueue(message)


@pytest.fixture
def published(memory: House) -> Publications:
    return Publications(memory)


def stored(house: House, message: Message[Any]) -> Any:
    try:
        return message.get_result(backend=house.results)
    except ResultMissing:
        return "nothing"


def test_a_copy_of_a_settled_turn_returns_the_cached_value(published: Publications) -> None:
    published.actor.send("a1")
    (message,) = published.publish()
    published.house.work()
    assert published.house.result(message) == "a1"
    published.house.results.results.clear()
    published.deliver(message)
    assert published.house.result(message) == "a1"
    assert len(published.runs) == 1


def test_a_copy_that_meets_a_run_is_dropped_without_a_result(published: Publications) -> None:
    published.hold.clear()
    published.actor.send("a1")
    (message,) = published.publish()
    published.house.work()
    wait_until(lambda: published.runs)
    published.deliver(message)
    queue = published.house.broker.queues[published.actor.queue_name]
    wait_until(lambda: queue.unfinished_tasks == 1)
    assert stored(published.house, message) == "nothing"
    published.hold.set()
    assert published.house.result(message) == "a1"
    assert len(published.runs) == 1


def test_a_stale_copy_is_dropped_without_a_result(published: Publications) -> None:
    published.actor.send("a1")
    (message,) = published.publish()
    published.house.store.forget(f"{published.actor.actor_name}/a")
    published.house.work()
    published.house.drained()
    assert stored(published.house, message) == "nothing"
    assert (published.runs, published.house.dead) == ([], [])


def test_a_late_copy_never_runs_the_next_turn(published: Publications) -> None:
    published.actor.send("a1")
    (late,) = published.publish()
    published.house.work()
    published.house.settled(published.actor)
    published.hold.clear()
    published.actor.send("a2")
    wait_until(lambda: len(published.runs) == 2)
    published.deliver(late)
    published.hold.set()
    published.house.settled(published.actor)
    published.house.drained()
    assert [list(turn.items) for turn in published.runs] == [["a1"], ["a2"]]


def test_a_run_that_was_overtaken_has_no_effect_and_no_result(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    published = Publications(house)
    published.hold.clear()
    published.actor.send("a1")
    (message,) = published.publish()
    house.work()
    wait_until(lambda: published.runs)
    state = house.store.inspect(f"{published.actor.actor_name}/a")
    house.store.down = {"take_due"}  # for the pump, which would be as quick
    house.store.unlock(f"{published.actor.actor_name}/a", state.epoch, state.owner)
    (check,) = MemoryStore.take_due(house.store, 1, 1_000_000, 1_000_000).checks
    assert house.store.begin(check, "successor", 1_000_000).verdict == "new"
    published.hold.set()
    house.drained()
    assert stored(house, message) == "nothing"
    assert house.store.finish(check, "successor", "ok", value=b'"theirs"') == "settled"


def test_a_copy_made_of_a_failed_delivery_stores_its_result_when_it_runs(published: Publications) -> None:
    published.actor.send("a1")
    (message,) = published.publish()
    published.house.broker.flush_all()
    # What a stock Retries makes of a message after an attempt that was kept.
    published.deliver(message.copy(options={"retries": 1, "store_results": False}))
    published.house.work()
    assert published.house.result(message) == "a1"


def test_a_turn_never_becomes_a_dead_letter_of_the_broker(new_house: Callable[..., House]) -> None:
    house = new_house()
    attempts: list[int] = []

    def collect(items: list[str]) -> None:
        attempts.append(1)
        raise ValueError

    actor = house.declare(collect, debounced=window(wait=0, attempts=3), max_retries=0)
    house.work()
    actor.send("a1")
    house.settled(actor)
    house.drained()
    assert (len(attempts), house.dead) == (3, [])


def test_with_stock_retries_the_copies_that_come_back_are_dropped(new_house: Callable[..., House]) -> None:
    store = TroubledStore()
    stock = [AgeLimit(), TimeLimit(), Callbacks(), Pipelines(), Retries()]
    house = new_house(store, [*stock, *guards(store, again=500)])
    attempts: list[int] = []

    def collect(items: list[str]) -> None:
        attempts.append(len(items))
        if len(attempts) < 3:
            raise ValueError

    actor = house.declare(collect, debounced=window(), min_backoff=1, max_backoff=2)
    house.work()
    actor.send("a1")
    house.settled(actor)
    house.drained()
    assert attempts == [1, 1, 1]


def test_a_store_that_is_down_during_begin_costs_no_attempt(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    published = Publications(memory)
    memory.store.down = {"begin"}
    memory.work()
    published.actor.send("a1")
    wait_until(lambda: memory.store.calls["begin"] > 2)
    memory.store.down = set()
    memory.settled(published.actor)
    assert [turn.attempt for turn in published.runs] == [1]


def test_a_lost_answer_to_begin_costs_no_attempt(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    published = Publications(memory)
    memory.store.mute = {"begin"}
    memory.work()
    published.actor.send("a1")
    wait_until(lambda: memory.store.calls["begin"] > 2)
    memory.store.mute = set()
    memory.settled(published.actor)
    assert [(turn.attempt, turn.lost) for turn in published.runs] == [(1, 0)]


def test_a_worker_that_stops_while_the_store_is_down_leaves_the_turn_to_another(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    published = Publications(memory)
    memory.store.down = {"begin"}
    worker = memory.work()
    published.actor.send("a1")
    wait_until(lambda: memory.store.calls["begin"])
    memory.workers.remove(worker)
    worker.stop(timeout=10_000)
    memory.store.down = set()
    memory.work()
    memory.settled(published.actor)
    assert [turn.attempt for turn in published.runs] == [1]


def test_what_the_broker_lost_is_published_again(memory: House) -> None:
    published = Publications(memory)
    published.actor.send("a1")
    published.publish()
    memory.broker.flush_all()
    memory.work()
    memory.settled(published.actor)
    assert len(published.runs) == 1

"""Workers come and go on the same broker object."""

from __future__ import annotations

import threading

from chatbot.middleware import Idempotent
from tests.middleware.running import House, TroubledStore, window
from tests.waiting import wait_until


def test_a_worker_can_be_started_again_on_the_same_broker(house: House) -> None:
    runs: list[list[str]] = []
    actor = house.declare(lambda items: runs.append(items), actor_name="d", debounced=window(wait=0))
    for item in ("a1", "a2", "a3"):
        house.work()
        actor.send(item)
        house.settled(actor)
        house.stop()
    assert runs == [["a1"], ["a2"], ["a3"]]


def test_a_worker_that_is_started_again_is_as_patient_as_the_first(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    actor = memory.declare(
        lambda order: order, actor_name="i", idempotent=Idempotent(key="{order}"), store_results=True
    )
    memory.work()
    memory.stop()
    memory.store.down = {"claim"}
    message = actor.send("o1")
    memory.work()
    store = memory.store
    wait_until(lambda: store.calls["claim"] > 2)
    store.down = set()
    assert memory.result(message) == "o1"


def test_what_was_accepted_while_no_worker_ran_is_run_by_the_next(house: House) -> None:
    runs: list[list[str]] = []
    actor = house.declare(lambda items: runs.append(items), actor_name="d", debounced=window(wait=0))
    actor.send("a1")
    assert runs == []
    house.work()
    house.settled(actor)
    assert runs == [["a1"]]


def test_a_stopped_worker_hands_nothing_over(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    actor = memory.declare(lambda items: None, actor_name="d", debounced=window(wait=0))
    memory.work()
    wait_until(lambda: memory.store.calls["sleep"])  # type: ignore[attr-defined]
    memory.close()
    wait_until(lambda: not any(thread.name == "pump" for thread in threading.enumerate()), timeout=15)
    actor.send("a1")
    assert memory.state(actor) == "accumulating"
    assert memory.broker.published == 0


def test_a_run_that_is_inside_when_its_worker_stops_is_settled(memory: House) -> None:
    inside, open_ = threading.Event(), threading.Event()

    def collect(items: list[str]) -> None:
        inside.set()
        assert open_.wait(10)

    actor = memory.declare(collect, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    assert inside.wait(10)
    stopping = threading.Thread(target=memory.stop)
    stopping.start()
    open_.set()
    stopping.join()
    assert memory.state(actor) == "idle"

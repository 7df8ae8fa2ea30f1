"""A burst of calls becomes one run."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from chatbot.errors import PolicyInvalid
from chatbot.middleware import Debounced, Idempotent, current_turn
from chatbot.middleware.pump import Pump
from chatbot.stores.memory import ManualClock
from tests.middleware.running import House, TroubledStore, by_letter, window
from tests.waiting import wait_until


def collector(runs: list[list[str]]) -> Any:
    def collect(items: list[str]) -> None:
        runs.append(items)

    return collect


def test_a_burst_is_one_run_with_the_items_in_order(house: House) -> None:
    runs: list[list[str]] = []
    actor = house.declare(collector(runs), debounced=window(wait=2_500))
    house.work()
    for i in range(5):
        actor.send(f"a{i}")
    house.settled(actor)
    assert runs == [["a0", "a1", "a2", "a3", "a4"]]


def test_a_call_with_the_id_of_another_is_no_second_item(house: House) -> None:
    runs: list[list[str]] = []
    actor = house.declare(collector(runs), debounced=window(), idempotent=Idempotent(key=lambda item: item))
    outcomes = [actor.send(item).options["outcome"] for item in ("a1", "a2", "a1")]
    house.work()
    house.settled(actor)
    assert actor.send("a2").options["outcome"] == "duplicate"
    assert outcomes == ["absorbed", "absorbed", "duplicate"]
    assert runs == [["a1", "a2"]]


def published(house: House, clock: ManualClock, pause: int) -> int:
    """Return how many runs have been published when `pause` ms have passed."""
    clock.advance(pause)
    Pump(house.broker, house.store).step()
    return int(house.broker.published)


def test_the_wait_is_measured_from_the_last_call(new_house: Callable[..., House]) -> None:
    house = new_house(TroubledStore(clock=(clock := ManualClock())))
    actor = house.declare(collector([]), debounced=window(wait=120))
    for i in range(6):
        actor.send(f"a{i}")
        assert published(house, clock, 119) == 0
    assert published(house, clock, 1) == 1


def test_a_burst_without_an_end_runs_after_max_wait(new_house: Callable[..., House]) -> None:
    house = new_house(TroubledStore(clock=(clock := ManualClock())))
    actor = house.declare(collector(runs := []), debounced=window(wait=150, max_wait=300))
    assert [actor.send("a") and published(house, clock, 100) for _ in range(3)] == [0, 0, 1]
    house.work()
    house.settled(actor)
    assert runs == [["a", "a", "a"]]


@pytest.mark.parametrize("full", [{"max_items": 2}, {"max_bytes": 8}], ids=["items", "bytes"])
def test_a_full_window_runs_at_once(house: House, full: dict[str, int]) -> None:
    runs: list[list[str]] = []
    actor = house.declare(collector(runs), debounced=window(wait=60_000, max_wait=60_000, **full))
    house.work()
    actor.send("a1")
    actor.send("a2")
    house.settled(actor)
    assert runs == [["a1", "a2"]]


@pytest.mark.parametrize("override", [{"wait": 0}, {"max_items": 2}, {"max_bytes": 8}, {"wait": 30, "max_wait": 30}])
def test_a_message_may_override_single_fields(house: House, override: dict[str, int]) -> None:
    runs: list[list[str]] = []
    actor = house.declare(collector(runs), debounced=window(wait=60_000, max_wait=60_000))
    house.work()
    actor.send("a1")
    actor.send_with_options(args=("a2",), debounced=override)
    house.settled(actor)
    assert runs == [["a1", "a2"]]


def test_a_message_may_bound_a_burst_without_an_end(new_house: Callable[..., House]) -> None:
    house = new_house(TroubledStore(clock=(clock := ManualClock())))
    actor = house.declare(collector([]), debounced=window(wait=300, max_wait=60_000))
    for due in (0, 0, 1):
        actor.send_with_options(args=("a",), debounced={"max_wait": 500})
        assert published(house, clock, 200) == due


@pytest.mark.parametrize("override", [{"wait": -1}, {"max_wait": 1}, {"max_items": 0}, {"wat": 1}, {"on_running": "x"}])
def test_an_override_that_makes_no_policy_is_refused_to_the_sender(memory: House, override: dict[str, Any]) -> None:
    actor = memory.declare(collector([]), debounced=window())
    with pytest.raises(PolicyInvalid):
        actor.send_with_options(args=("a1",), debounced=override)


def test_a_message_may_supersede_though_its_actor_queues(house: House) -> None:
    runs: list[list[str]] = []
    first, superseded = threading.Event(), threading.Event()

    def collect(items: list[str]) -> None:
        runs.append(items)
        first.set()
        assert len(items) > 1 or superseded.wait(10)

    actor = house.declare(collect, debounced=window(max_wait=20_000))
    house.work()
    actor.send("a1")
    assert first.wait(10)
    actor.send_with_options(args=("a2",), debounced={"on_running": "supersede"})
    wait_until(lambda: len(runs) == 2)
    superseded.set()
    house.settled(actor)
    assert runs == [["a1"], ["a1", "a2"]]


@pytest.mark.parametrize("way", ["policy", "key"])
def test_a_call_can_opt_out(house: House, way: str) -> None:
    runs: list[tuple[list[str], object]] = []

    def collect(items: list[str]) -> None:
        runs.append((items, current_turn()))

    policy = Debounced(key=lambda item: None if item == "alone" else "x", wait=60_000, max_wait=60_000)
    actor = house.declare(collect, debounced=policy)
    house.work()
    sent = actor.send("alone") if way == "key" else actor.send_with_options(args=("a",), debounced=None)
    wait_until(lambda: runs)
    assert sent.options["outcome"] == "enqueued"
    assert runs == [(["alone" if way == "key" else "a"], None)]


def test_a_template_can_be_the_key(memory: House) -> None:
    runs: list[list[dict[str, str]]] = []

    def collect(items: list[dict[str, str]]) -> None:
        runs.append(items)

    actor = memory.declare(collect, debounced=Debounced(key="{items[room]}", wait=40, max_wait=40))
    memory.work()
    actor.send({"room": "a", "text": "1"})
    actor.send({"room": "b", "text": "2"})
    memory.settled(actor)
    memory.settled(actor, "b")
    assert sorted(item["room"] for (item,) in runs) == ["a", "b"]


class Struct(msgspec.Struct):
    at: datetime
    text: str = "x"


@dataclasses.dataclass
class Record:
    at: datetime
    text: str = "x"


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def of_structs(items: list[Struct]) -> None: ...
def of_records(items: list[Record]) -> None: ...
def of_times(items: list[datetime]) -> None: ...
def of_dicts(items: list[dict[str, Any]]) -> None: ...
def of_anything(items) -> None: ...  # type: ignore[no-untyped-def]


@pytest.mark.parametrize(
    ("shape", "item"),
    [
        (of_structs, Struct(NOON)),
        (of_records, Record(NOON)),
        (of_times, NOON),
        (of_dicts, {"a": [1, {"b": None}]}),
        (of_anything, ["x", 1.5]),
    ],
)
def test_items_arrive_as_the_annotation_says(memory: House, shape: Any, item: Any) -> None:
    got: list[Any] = []

    def collect(items: Any) -> None:
        got.extend(items)

    collect.__annotations__ = shape.__annotations__
    actor = memory.declare(collect, debounced=Debounced(key=lambda item: "a", wait=0, max_wait=0))
    memory.work()
    actor.send(item)
    memory.settled(actor)
    assert got == [item]


class Gate:
    """Runs wait here until they are let through; it counts who is inside at once, per key."""

    def __init__(self) -> None:
        self.runs: list[list[str]] = []
        self.inside: list[str] = []
        self.most: dict[str, int] = {}
        self.open = threading.Event()

    def collect(self, items: list[str]) -> None:
        key = items[0][0]
        self.inside.append(key)
        self.most[key] = max(self.most.get(key, 0), self.inside.count(key))
        self.runs.append(items)
        assert self.open.wait(10)
        self.inside.remove(key)


def test_keys_run_in_parallel_but_each_one_at_a_time(house: House) -> None:
    gate = Gate()
    actor = house.declare(gate.collect, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    actor.send("b1")
    wait_until(lambda: sorted(gate.inside) == ["a", "b"])
    for i in range(2, 5):
        actor.send(f"a{i}")
        actor.send(f"b{i}")
    gate.open.set()
    house.settled(actor, "a")
    house.settled(actor, "b")
    assert gate.most == {"a": 1, "b": 1}


def test_arrivals_during_a_run_open_the_next_window(house: House) -> None:
    gate = Gate()
    actor = house.declare(gate.collect, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    wait_until(lambda: gate.inside)
    assert [actor.send(item).options["outcome"] for item in ("a2", "a3")] == ["absorbed", "absorbed"]
    gate.open.set()
    house.settled(actor)
    assert gate.runs == [["a1"], ["a2", "a3"]]


def test_arrivals_may_supersede_a_run(house: House) -> None:
    runs: list[list[str]] = []
    kept: list[list[str]] = []
    first, superseded = threading.Event(), threading.Event()

    def collect(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        runs.append(items)
        first.set()
        if len(items) == 1:
            assert superseded.wait(10)
        turn.then(keep.message("a" + "".join(items)))

    keep = house.declare(lambda items: kept.append(items), debounced=window(wait=0, max_items=1), actor_name="keep")
    actor = house.declare(collect, debounced=window(wait=40, max_wait=20_000, on_running="supersede"))
    house.work()
    actor.send("a1")
    assert first.wait(10)
    actor.send("a2")
    wait_until(lambda: len(runs) == 2)
    superseded.set()
    house.settled(actor)
    house.settled(keep)
    assert runs == [["a1"], ["a1", "a2"]]
    assert kept == [["aa1a2"]]


def test_too_many_calls_overflow_and_are_taken_later(house: House) -> None:
    gate = Gate()
    actor = house.declare(gate.collect, debounced=window(wait=60_000, max_wait=60_000, max_buffered=2))
    sent = [actor.message(f"a{i}") for i in range(3)]
    returned = house.broker.enqueue_many(sent)
    assert [m.options["outcome"] for m in returned] == ["absorbed", "absorbed", "overflow"]
    assert house.broker.enqueue(returned[2]).options["outcome"] == "overflow"
    house.store.forget(f"{actor.actor_name}/{by_letter('a')}")
    assert house.broker.enqueue(returned[2]).options["outcome"] == "absorbed"

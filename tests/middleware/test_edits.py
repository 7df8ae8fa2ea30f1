"""Editing and withdrawing calls that still wait."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from dramatiq.brokers import stub

from chatbot.errors import PolicyInvalid, StoreUnavailable, Suppressed
from chatbot.middleware import Debounced, Idempotent, amend
from tests.middleware.running import House, TroubledStore, memory_house, window
from tests.waiting import wait_until

LONG = {"wait": 60_000, "max_wait": 60_000}
BY_ID = Idempotent(key=lambda item: item["id"])


def by_room(item: dict[str, str]) -> str:
    return item.get("room", "a")


def says(text: str, item_id: str = "m1", **more: str) -> dict[str, str]:
    return {"id": item_id, "text": text, **more}


class Collector:
    """A debounced actor whose items have ids; its runs may be held inside."""

    def __init__(self, house: House, **policy: Any) -> None:
        self.house = house
        self.runs: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        debounced = Debounced(key=by_room, **{**LONG, "backoff": 1, **policy})
        self.actor = house.declare(self.collect, debounced=debounced, idempotent=BY_ID)

    def collect(self, items: list[dict[str, str]]) -> None:
        self.runs.append([item["text"] for item in items])
        assert self.gate.wait(10)

    def send(self, *texts: str, **options: Any) -> list[str]:
        calls = [self.actor.message_with_options(args=(says(text, f"m{text}"),), **options) for text in texts]
        return [message.options["outcome"] for message in self.house.broker.enqueue_many(calls)]

    def flush(self) -> list[list[str]]:
        """End the wait, and return what ran."""
        self.send("end", debounced={"wait": 0, "max_wait": 0})
        self.house.settled(self.actor)
        return self.runs


@pytest.fixture
def collector(house: House) -> Collector:
    made = Collector(house)
    house.work()
    return made


def test_an_amended_item_is_run_at_its_place_with_its_new_payload(collector: Collector) -> None:
    collector.send("1", "2", "3")
    assert amend(collector.actor, "a", "m2", says("two")) == "amended"
    assert collector.flush() == [["1", "two", "3", "end"]]


def test_a_payload_may_keep_the_id_of_what_it_amends(collector: Collector) -> None:
    collector.send("1")
    assert amend(collector.actor, "a", "m1", says("one", "m1")) == "amended"
    assert amend(collector.actor, "a", "m1", says("uno", "m1")) == "amended"
    assert collector.flush() == [["uno", "end"]]


def test_a_withdrawn_item_never_runs_and_its_resend_is_a_duplicate(collector: Collector) -> None:
    collector.send("1", "2")
    assert amend(collector.actor, "a", "m1", None) == "withdrawn"
    assert collector.send("1") == ["duplicate"]
    assert collector.flush() == [["2", "end"]]


def test_withdrawing_the_only_item_means_that_nothing_runs(collector: Collector) -> None:
    collector.send("1")
    assert amend(collector.actor, "a", "m1", None) == "withdrawn"
    assert collector.house.state(collector.actor) == "idle"


def test_an_item_that_runs_is_neither_amended_nor_withdrawn(house: House) -> None:
    collector = Collector(house, wait=0)
    collector.gate.clear()
    house.work()
    collector.send("1")
    wait_until(lambda: collector.runs)
    assert amend(collector.actor, "a", "m1", None) == "late"
    assert amend(collector.actor, "a", "m1", says("one")) == "joined"
    collector.gate.set()
    house.settled(collector.actor)
    assert collector.runs == [["1"], ["one"]]


@pytest.mark.parametrize("target", ["settled", "never there"])
def test_what_is_over_or_was_never_there_is_late_to_withdraw_and_joins_as_an_edit(
    collector: Collector, target: str
) -> None:
    if target == "settled":
        collector.send("1")
        collector.flush()
    assert amend(collector.actor, "a", "m1", None) == "late"
    assert collector.house.state(collector.actor) == "idle"
    assert amend(collector.actor, "a", "m1", says("one", "x")) == "joined"
    assert collector.house.state(collector.actor) == "accumulating"


def test_an_edit_with_an_id_is_made_once(collector: Collector) -> None:
    assert amend(collector.actor, "a", "m9", says("nine"), edit_id="e1") == "joined"
    assert amend(collector.actor, "a", "m9", says("nine"), edit_id="e1") == "duplicate"
    assert collector.flush() == [["nine", "end"]]


def test_an_edit_that_does_not_fit_changes_nothing(memory: House) -> None:
    collector = Collector(memory, max_buffered=1)
    memory.work()
    collector.send("1")
    assert amend(collector.actor, "a", "m2", says("two")) == "overflow"
    assert amend(collector.actor, "a", "m1", None) == "withdrawn"


def test_an_edit_does_not_prolong_the_wait(house: House) -> None:
    collector = Collector(house, wait=2_500, max_wait=60_000)
    house.work()
    collector.send("1")
    wait_until(lambda: amend(collector.actor, "a", "m1", says("edited")) and collector.runs, interval=0.05)
    assert collector.runs == [["edited"]]


@pytest.mark.parametrize(
    ("option", "outcome"), [("amends", "amended"), ("withdraws", "withdrawn")], ids=["amends", "withdraws"]
)
def test_edits_go_in_a_batch_with_what_they_edit(collector: Collector, option: str, outcome: str) -> None:
    call = collector.actor.message(says("1"))
    edit = collector.actor.message_with_options(args=(says("one", "e1"),), **{option: "m1"})
    late = collector.actor.message_with_options(args=(says("", "e2"),), withdraws="gone")
    answers = collector.house.broker.enqueue_many([call, edit, late, edit, collector.actor.message(says("2", "m2"))])
    assert [m.options["outcome"] for m in answers] == ["absorbed", outcome, "late", "duplicate", "absorbed"]
    assert collector.flush() == [["one", "2", "end"] if option == "amends" else ["2", "end"]]


def test_an_edit_cannot_do_two_things(collector: Collector) -> None:
    with pytest.raises(PolicyInvalid, match="amends"):
        collector.actor.send_with_options(args=(says("1"),), amends="m1", withdraws="m1")


def test_a_payload_of_another_key_is_refused(collector: Collector) -> None:
    collector.send("1")
    with pytest.raises(PolicyInvalid, match="'m1'"):
        amend(collector.actor, "a", "m1", says("one", room="b"))
    assert collector.flush() == [["1", "end"]]


def test_what_is_not_debounced_cannot_be_amended(memory: House) -> None:
    actor = memory.declare(lambda item: None, actor_name="plain")
    with pytest.raises(PolicyInvalid, match="plain"):
        amend(actor, "a", "m1", None)


def test_the_store_being_down_comes_out_of_amend(memory: House) -> None:
    collector = Collector(memory)
    collector.send("1")
    assert isinstance(memory.store, TroubledStore)
    memory.store.down = {"offer"}
    with pytest.raises(StoreUnavailable):
        amend(collector.actor, "a", "m1", None)
    memory.store.down = set()
    assert amend(collector.actor, "a", "m1", None) == "withdrawn"


def test_on_dramatiqs_own_broker_an_edit_works_alike() -> None:
    house = memory_house(kind=stub.StubBroker)
    try:
        actor = house.declare(
            lambda items: None, actor_name="c", debounced=window(**LONG), idempotent=Idempotent(key=str)
        )
        with pytest.raises(Suppressed):
            actor.send("a1")
        assert amend(actor, "a", "a1", "a one") == "amended"
        with pytest.raises(Suppressed) as suppressed:
            actor.send_with_options(args=("a2",), withdraws="a1")
        assert suppressed.value.outcome == "withdrawn"
        assert house.state(actor) == "idle"
    finally:
        house.close()

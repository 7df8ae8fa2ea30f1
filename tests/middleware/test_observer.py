"""Whoever observes the guards hears what they decide, and can break nothing."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from chatbot.errors import Permanent, StoreUnavailable
from chatbot.middleware import Debounced, Deduplicated, Idempotent, Observer, amend, current_turn, guarded_stack
from chatbot.middleware.observer import NOBODY, Judged, together
from chatbot.middleware.runner import LEASE
from chatbot.stores.memory import ManualClock
from tests.middleware.running import CutBroker, House, TroubledStore, window
from tests.waiting import wait_until

EVENTS = [name for name in vars(Observer) if not name.startswith("_")]


class Witness(Observer):
    """Remembers everything."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def of(self, event: str) -> list[tuple[Any, ...]]:
        return [heard[1:] for heard in list(self.heard) if heard[0] == event]

    def judged(self) -> list[Judged]:
        """Return what became of each call."""
        return [call for (calls,) in self.of("decided") for call in calls]

    def decisions(self) -> list[tuple[str, str]]:
        """Return the outcomes and which guarantee decided."""
        return [(call.outcome, call.by) for call in self.judged()]


class Broken(Observer):
    """Fails whenever it hears something."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()


def _remembers(event: str) -> Callable[..., None]:
    return lambda self, *args: self.heard.append((event, *args))


def _breaks(event: str) -> Callable[..., None]:
    def fail(self: Broken, *args: Any) -> None:
        self.heard[event] += 1
        raise RuntimeError("out of ink")

    return fail


for _event in EVENTS:
    setattr(Witness, _event, _remembers(_event))
    setattr(Broken, _event, _breaks(_event))


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def house(new_house: Callable[..., House], witness: Witness) -> House:
    store = TroubledStore()
    return new_house(store, guarded_stack(store, observers=[witness]))


def store_of(house: House) -> TroubledStore:
    assert isinstance(house.store, TroubledStore)
    return house.store


def test_the_story_of_a_burst_is_told_from_the_offer_to_the_follow_up(house: House, witness: Witness) -> None:
    def collect(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        turn.then(deliver.message("a reply"))

    deliver = house.declare(lambda items: None, actor_name="deliver", debounced=window(wait=0))
    actor = house.declare(
        collect, actor_name="collect", debounced=window(), idempotent=Idempotent(key=lambda item: item)
    )
    sent = [actor.send(item) for item in ("a1", "a2", "a1")]
    house.work()
    house.settled(actor)
    house.settled(deliver)
    late = actor.send("a2")
    key = "collect/a"
    ((_, epoch, stamp),) = [args for args in witness.of("taken") if args[0] == key]
    assert witness.judged()[:3] == [
        ("collect", sent[0].message_id, key, "a1", "absorbed", "debounced", ""),
        ("collect", sent[1].message_id, key, "a2", "absorbed", "debounced", ""),
        ("collect", sent[2].message_id, key, "a1", "duplicate", "debounced", ""),
    ]
    assert witness.judged()[3:] == [("collect", late.message_id, key, "a2", "duplicate", "debounced", str(epoch))]
    wait_until(lambda: (key, epoch, stamp) in witness.of("published"))
    ((_, _, _, verdict, owner, entries),) = [args for args in witness.of("began") if args[0] == key]
    assert (verdict, [entry.body for entry in entries]) == ("new", [b'"a1"', b'"a2"'])
    assert owner.partition("/")[0] == witness.of("began")[0][2]
    (settled,) = wait_until(lambda: [args for args in witness.of("settled") if args[0] == key])
    assert settled[:4] == (key, epoch, "settled", entries)
    assert [follow_up.key for follow_up in settled[4]] == ["deliver/a"]
    assert settled[5] is None


def test_every_ending_of_a_run_is_told_with_its_error(house: House, witness: Witness) -> None:
    errors: list[BaseException] = [ValueError("1"), ValueError("2"), Permanent("3"), Permanent("4")]

    def collect(items: list[str]) -> None:
        if errors:
            raise errors.pop(0)

    actor = house.declare(collect, debounced=window(attempts=3))
    house.broker.enqueue_many([actor.message("a1"), actor.message("a2")])
    house.work()
    house.settled(actor)
    wait_until(lambda: len(witness.of("settled")) == 5)
    told = [(args[2], args[5] and str(args[5])) for args in witness.of("settled")]
    assert told == [("kept", "1"), ("kept", "2"), ("split", "3"), ("buried", "4"), ("settled", None)]


def test_a_run_that_was_taken_over_is_told_as_refused_and_its_lease_as_lost(
    new_house: Callable[..., House], witness: Witness
) -> None:
    store = TroubledStore(clock=(clock := ManualClock()))
    house = new_house(store, guarded_stack(store, observers=[witness]))
    inside, gate = threading.Semaphore(0), threading.Event()

    def collect(items: list[str]) -> None:
        inside.release()
        assert gate.wait(10)

    actor = house.declare(collect, debounced=window(wait=0))
    store.down = {"renew"}
    house.work()
    actor.send("a1")
    assert inside.acquire(timeout=10)
    clock.advance(LEASE)
    store.wake()
    assert inside.acquire(timeout=10)
    store.down = set()
    wait_until(lambda: witness.of("lease_lost"))
    gate.set()
    house.settled(actor)
    wait_until(lambda: len(witness.of("settled")) == 2)
    assert sorted(args[2] for args in witness.of("settled")) == ["refused", "settled"]
    assert [args[3] for args in witness.of("began")][:2] == ["new", "taken"]


def test_edits_are_told_with_their_target(house: House, witness: Witness) -> None:
    long = Debounced(key="all", wait=60_000, max_wait=60_000, max_buffered=2)
    actor = house.declare(lambda items: None, actor_name="d", debounced=long, idempotent=Idempotent(key=str))
    actor.send("a1")
    edits = [("a1", "A1"), ("a9", "A9"), ("a1", None), ("a1", None)]
    verdicts = [amend(actor, "all", target, payload, edit_id=f"e{n}") for n, (target, payload) in enumerate(edits)]
    assert verdicts == ["amended", "joined", "withdrawn", "late"]
    told = [args[3:] for args in witness.judged()][1:]
    assert told == [
        ("e0", "amended", "debounced", "a1"),
        ("e1", "absorbed", "debounced", "a9"),
        ("e2", "withdrawn", "debounced", "a1"),
        ("e3", "late", "debounced", "a1"),
    ]


def test_a_flood_is_told(house: House, witness: Witness) -> None:
    actor = house.declare(lambda items: None, actor_name="d", debounced=window(max_buffered=1))
    actor.send("a1")
    actor.send("a2")
    assert witness.decisions() == [("absorbed", "debounced"), ("overflow", "debounced")]


def test_a_deduplicated_call_is_told_when_it_is_published_and_when_it_is_suppressed(
    house: House, witness: Witness
) -> None:
    actor = house.declare(lambda order: None, actor_name="d", deduplicated=Deduplicated(window=60_000, key="{order}"))
    first, second = actor.send("o1"), actor.send("o1")
    assert [(args[1], args[4], args[5], args[6]) for args in witness.judged()] == [
        (first.message_id, "enqueued", "deduplicated", ""),
        (second.message_id, "duplicate", "deduplicated", first.message_id),
    ]


def test_what_was_not_published_is_not_told_as_enqueued(house: House, witness: Witness) -> None:
    actor = house.declare(lambda order: None, actor_name="d", deduplicated=Deduplicated(window=60_000))
    assert isinstance(house.broker, CutBroker)
    house.broker.cut = True
    with pytest.raises(Exception, match="cable"):
        actor.send("o1")
    assert witness.judged() == []


def test_the_life_of_an_idempotent_key_is_told(house: House, witness: Witness) -> None:
    gate = threading.Event()

    def charge(order: str, amount: int = 1) -> str:
        assert gate.wait(10)
        return order

    actor = house.declare(charge, actor_name="d", idempotent=Idempotent(key="{order}"), store_results=True)
    house.work()
    first = actor.send("o1")
    wait_until(lambda: store_of(house).calls["claim"])
    second = actor.send("o1")
    wait_until(lambda: ("waiting", "idempotent") in witness.decisions())
    gate.set()
    assert [house.result(first), house.result(second)] == ["o1", "o1"]
    actor.send("o1", 2)
    wait_until(lambda: house.dead)
    wait_until(lambda: {"completed", "duplicate", "reused"} <= {outcome for outcome, _ in witness.decisions()})
    # Each by the thread that ran it.
    told = sorted((args[4], args[1] == first.message_id, args[6]) for args in witness.judged() if args[4] != "waiting")
    assert [(outcome, original) for outcome, original, _ in told] == [
        ("completed", True),
        ("duplicate", False),
        ("reused", False),
    ]
    assert told[1][2] == first.message_id


@pytest.mark.parametrize("policy", [Idempotent(key="{order}"), Deduplicated(window=60_000)])
@pytest.mark.parametrize("decision", ["fail", "proceed"])
def test_a_store_that_does_not_answer_is_told_with_what_that_means(
    house: House, witness: Witness, policy: Any, decision: Any
) -> None:
    name = type(policy).__name__.lower()
    actor = house.declare(lambda order: order, actor_name="d", **{name: policy})
    store_of(house).down = {"claim"}
    options = {name: {"on_store_error": decision}}
    if name == "idempotent":
        house.work()
        actor.send_with_options(args=("o1",), **options)
        expected = "waited" if decision == "fail" else "proceeded"
    elif decision == "fail":
        expected = "failed"
        with pytest.raises(StoreUnavailable):
            actor.send_with_options(args=("o1",), **options)
    else:
        expected = "proceeded"
        actor.send_with_options(args=("o1",), **options)
    wait_until(lambda: witness.of("store_error"))
    assert set(witness.of("store_error")) == {("d", expected)}


def test_a_debounced_call_that_could_not_be_offered_is_told_to_have_failed(house: House, witness: Witness) -> None:
    actor = house.declare(lambda items: None, actor_name="d", debounced=window())
    store_of(house).down = {"offer"}
    with pytest.raises(StoreUnavailable):
        actor.send("a1")
    assert witness.of("store_error") == [("d", "failed")]
    assert witness.judged() == []


def test_a_turn_that_waits_for_the_store_is_told(house: House, witness: Witness) -> None:
    actor = house.declare(lambda items: None, actor_name="d", debounced=window(wait=0))
    store_of(house).down = {"begin"}
    house.work()
    actor.send("a1")
    wait_until(lambda: witness.of("store_error"))
    store_of(house).down = set()
    house.settled(actor)
    assert set(witness.of("store_error")) == {("d", "waited")}


# --- an observer that fails ---
def test_an_observer_that_fails_changes_nothing_and_is_logged_once(
    new_house: Callable[..., House], witness: Witness, caplog: pytest.LogCaptureFixture
) -> None:
    broken, store = Broken(), TroubledStore()
    house = new_house(store, guarded_stack(store, observers=[broken, witness]))
    runs: list[Any] = []
    debounced = house.declare(lambda items: runs.append(items), actor_name="d", debounced=window())
    deduplicated = house.declare(runs.append, actor_name="u", deduplicated=Deduplicated(window=60_000))
    house.work()
    assert debounced.send("a1").options["outcome"] == "absorbed"
    assert deduplicated.send("once").options["outcome"] == "enqueued"
    assert deduplicated.send("once").options["outcome"] == "duplicate"
    house.settled(debounced)
    wait_until(lambda: len(runs) == 2)
    wait_until(lambda: witness.of("settled"))  # the last to hear of the last
    assert broken.heard.keys() >= {"decided", "taken", "published", "began", "settled"}
    assert Counter(heard[0] for heard in witness.heard) == broken.heard
    logged = [record for record in caplog.records if "failed to observe" in record.getMessage()]
    assert len(logged) == 1
    assert "out of ink" in (logged[0].exc_text or "")


def test_where_nobody_observes_there_is_nothing_in_between() -> None:
    assert together() is together(NOBODY) is NOBODY
    one = together(Witness())
    assert together(one) is together(NOBODY, one) is one

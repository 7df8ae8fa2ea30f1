"""The same call is enqueued once inside a window."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import dramatiq
import pytest
from dramatiq.encoder import PickleEncoder
from dramatiq.errors import ConnectionClosed
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend
from dramatiq.threading import Interrupt

from chatbot.errors import PolicyInvalid, StoreUnavailable
from chatbot.middleware import Deduplicated, Deduplication, guarded_stack
from chatbot.middleware.guard import guards_of
from chatbot.stores.memory import ManualClock
from tests.middleware.running import CutBroker, House, TroubledStore, window
from tests.waiting import wait_until

MINUTE = Deduplicated(window=60_000)


def outcomes(actor: Any, *calls: tuple[Any, ...]) -> list[str]:
    return [actor.send(*args).options["outcome"] for args in calls]


def note(order: Any, amount: Any = 1, at: Any = None) -> None: ...


@pytest.fixture
def pickled() -> Iterator[None]:
    """JSON messages hold no sets and no times."""
    before = dramatiq.get_encoder()
    dramatiq.set_encoder(PickleEncoder())
    yield
    dramatiq.set_encoder(before)


def test_a_suppressed_call_learns_the_id_of_the_first(house: House) -> None:
    actor = house.declare(note, deduplicated=MINUTE)
    first, second = actor.send("o1"), actor.send("o1")
    assert (first.options["outcome"], second.options["outcome"]) == ("enqueued", "duplicate")
    assert second.options["original"] == first.message_id


def test_only_the_first_of_the_same_calls_runs(house: House) -> None:
    runs: list[str] = []

    def run(order: str) -> None:
        runs.append(order)

    actor = house.declare(run, deduplicated=MINUTE)
    house.work()
    outcomes(actor, ("o1",), ("o1",), ("o2",), ("o1",), ("end",))
    wait_until(lambda: "end" in runs)
    wait_until(lambda: sorted(runs) == ["end", "o1", "o2"])


NOON, NIGHT = (datetime(2026, 1, 31, hour, tzinfo=UTC) for hour in (12, 23))
SAME = [
    ({"a": 1, "b": {"c": [1], "d": 2}}, {"b": {"d": 2, "c": [1]}, "a": 1}),
    ({3, 1, 2, 10}, {10, 2, 3, 1}),
    ({"tags": {"x", "y", "z"}}, {"tags": {"z", "x", "y"}}),
    (0.1, 0.1),
    (1.0, 1),
    ({"price": [2, {"net": -0.0}]}, {"price": [2.0, {"net": 0}]}),
    (float("nan"), float("nan")),
    (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 1, 31, tzinfo=UTC)),
    (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 1, 31, 2, tzinfo=timezone(timedelta(hours=2)))),
    ({1: "a", 2: "b"}, {2: "b", 1: "a"}),
    ({NOON: "a", NIGHT: "b"}, {NIGHT: "b", NOON: "a"}),
    ("ü", "ü"),
    (None, None),
]
OTHER = [
    (0.1, 0.2),
    (1, "1"),
    (1, True),
    (1.5, 1),
    (None, float("nan")),
    (float("inf"), float("-inf")),
    (datetime(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
    ([1, 2], [2, 1]),
    (datetime(2026, 1, 31, tzinfo=UTC), datetime(2026, 1, 31, 0, 0, 0, 1, tzinfo=UTC)),
    ({"a": 1}, {"a": 1, "b": None}),
    ("a", "A"),
]


@pytest.mark.usefixtures("pickled")
@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_parameters_are_the_same_call(memory: House, one: Any, other: Any) -> None:
    actor = memory.declare(note, deduplicated=MINUTE)
    assert outcomes(actor, (one,), (other,)) == ["enqueued", "duplicate"]


@pytest.mark.usefixtures("pickled")
@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other_parameters_are_another_call(memory: House, one: Any, other: Any) -> None:
    actor = memory.declare(note, deduplicated=MINUTE)
    assert outcomes(actor, (one,), (other,)) == ["enqueued", "enqueued"]


def test_it_does_not_matter_how_arguments_are_passed(memory: House) -> None:
    actor = memory.declare(note, deduplicated=MINUTE)
    actor.send("o1", 1)
    assert actor.send(order="o1").options["outcome"] == "duplicate"
    assert actor.send(amount=1, order="o1").options["outcome"] == "duplicate"


def test_excluded_parameters_do_not_tell_calls_apart(memory: House) -> None:
    actor = memory.declare(note, deduplicated=Deduplicated(window=60_000, exclude=frozenset({"at"})))
    assert outcomes(actor, ("o1", 1, "now"), ("o1", 1, "then"), ("o1", 2, "now")) == [
        "enqueued",
        "duplicate",
        "enqueued",
    ]


def test_a_key_can_say_what_is_the_same(memory: House) -> None:
    actor = memory.declare(note, deduplicated=Deduplicated(window=60_000, key="{order}"))
    assert outcomes(actor, ("o1", 1), ("o1", 2), ("o2", 1)) == ["enqueued", "duplicate", "enqueued"]


def test_actors_do_not_share_their_calls(memory: House) -> None:
    one, other = (memory.declare(note, deduplicated=MINUTE) for _ in range(2))
    assert outcomes(one, ("o1",)) + outcomes(other, ("o1",)) == ["enqueued", "enqueued"]


def test_a_call_may_opt_out_or_change_its_window(memory: House) -> None:
    actor = memory.declare(note, deduplicated=MINUTE)
    actor.send("o1")
    assert actor.send_with_options(args=("o1",), deduplicated=None).options["outcome"] == "enqueued"
    assert actor.send_with_options(args=("o1",), deduplicated={"key": "x"}).options["outcome"] == "enqueued"


def test_the_window_ends(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    actor = house.declare(note, deduplicated=Deduplicated(window=1_000))
    assert outcomes(actor, ("o1",)) == ["enqueued"]
    clock.advance(999)
    assert outcomes(actor, ("o1",)) == ["duplicate"]
    clock.advance(2)
    assert outcomes(actor, ("o1",)) == ["enqueued"]


def test_concurrent_callers_make_exactly_one_publication(house: House) -> None:
    actor = house.declare(note, deduplicated=MINUTE)
    start = threading.Barrier(8)

    def send(_: int) -> Any:
        start.wait()
        return actor.send("o1")

    with ThreadPoolExecutor(8) as threads:
        sent = list(threads.map(send, range(8)))
    (first,) = (m for m in sent if m.options["outcome"] == "enqueued")
    assert {m.options["original"] for m in sent if m is not first} == {first.message_id}


def test_the_same_call_twice_in_a_batch_is_published_once_and_at_once(house: House) -> None:
    actor = house.declare(note, deduplicated=MINUTE)
    started = time.monotonic()
    first, second, other = house.broker.enqueue_many([actor.message(order) for order in ("o1", "o1", "o2")])
    assert [m.options["outcome"] for m in (first, second, other)] == ["enqueued", "duplicate", "enqueued"]
    assert second.options["original"] == first.message_id
    assert time.monotonic() - started < 5


def test_batches_that_overlap_do_not_wait_for_each_other_in_a_circle(house: House) -> None:
    actor = house.declare(note, deduplicated=MINUTE)
    orders = [f"o{i}" for i in range(30)]
    start = threading.Barrier(2)

    def send(batch: list[str]) -> list[Any]:
        start.wait()
        return list(house.broker.enqueue_many([actor.message(order) for order in batch]))

    started = time.monotonic()
    with ThreadPoolExecutor(2) as threads:
        sent = [m for batch in threads.map(send, [orders, orders[::-1]]) for m in batch]
    assert [m.options["outcome"] for m in sent].count("enqueued") == 30
    assert time.monotonic() - started < 5


# --- publications that fail ---
def cut(house: House, *, cut: bool = True) -> None:
    house.broker.cut = cut


def test_a_publication_that_certainly_failed_frees_the_call(memory: House) -> None:
    actor = memory.declare(note, deduplicated=MINUTE)
    with pytest.raises(TypeError):
        actor.send_with_options(args=("o1",), extra=object())  # no JSON, so no publication
    assert outcomes(actor, ("o1",)) == ["enqueued"]


def test_a_publication_of_unknown_outcome_keeps_its_short_lease(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    actor = house.declare(note, deduplicated=MINUTE)
    cut(house)
    with pytest.raises(ConnectionClosed):
        actor.send("o1")
    cut(house, cut=False)
    with ThreadPoolExecutor(1) as threads:
        second = threads.submit(actor.send, "o1")
        calls = house.store.calls["claim"]  # type: ignore[attr-defined]
        wait_until(lambda: house.store.calls["claim"] > calls + 2)  # type: ignore[attr-defined]
        assert not second.done()
        clock.advance(10_001)
        assert second.result(15).options["outcome"] == "enqueued"


def test_an_interrupt_during_a_publication_leaves_the_call_claimed(new_house: Callable[..., House]) -> None:
    class Interrupted(CutBroker):
        def enqueue(self, message: Any, *, delay: int | None = None) -> Any:
            super().enqueue(message, delay=delay)
            return message

        def emit_after(self, signal: str, *args: Any, **kwargs: Any) -> None:
            if signal == "enqueue":
                raise Interrupt  # the message is in the queue
            super().emit_after(signal, *args, **kwargs)

    house = new_house(kind=Interrupted)
    actor = house.declare(note, deduplicated=MINUTE)
    with pytest.raises(Interrupt):
        actor.send("o1")
    record = next(iter(house.store._records._records._entries))  # type: ignore[attr-defined]
    assert house.store.claim(record, "another", 1_000).verdict == "busy"


def test_a_publication_that_could_not_be_recorded_is_no_error(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    actor = memory.declare(note, deduplicated=MINUTE)
    memory.store.down = {"settle"}
    assert outcomes(actor, ("o1",)) == ["enqueued"]


def test_the_store_being_down_comes_out_of_send(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    actor = memory.declare(note, deduplicated=MINUTE)
    memory.store.down = {"claim"}
    with pytest.raises(StoreUnavailable):
        actor.send("o1")
    assert memory.broker.published == 0


def test_proceeding_means_enqueueing_unguarded_while_the_store_is_down(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    actor = memory.declare(note, deduplicated=Deduplicated(window=60_000, on_store_error="proceed"))
    memory.store.down = {"claim"}
    assert outcomes(actor, ("o1",), ("o1",)) == ["enqueued", "enqueued"]


def pending(house: House) -> dict[str, Any]:
    (guard,) = (guard for guard in guards_of(house.broker) if isinstance(guard, Deduplication))
    return guard._pending


@pytest.mark.parametrize("way", ["published", "suppressed", "cut", "refused", "store down in a batch"])
def test_nothing_is_remembered_of_publications_that_are_over(memory: House, way: str) -> None:
    assert isinstance(memory.store, TroubledStore)
    actor = memory.declare(note, deduplicated=MINUTE)
    debounced = memory.declare(
        lambda items: None, actor_name="d", deduplicated=MINUTE, debounced=window(wait=60_000, max_wait=60_000)
    )
    actor.send("o1")
    if way == "suppressed":
        actor.send("o1")
    elif way == "cut":
        cut(memory)
        with pytest.raises(ConnectionClosed):
            memory.broker.enqueue_many([actor.message(f"x{i}") for i in range(3)])
    elif way == "refused":
        with pytest.raises(PolicyInvalid):
            memory.broker.enqueue_many([actor.message("o2"), debounced.message("a", "b")])
    elif way == "store down in a batch":
        memory.store.down = {"offer"}
        with pytest.raises(StoreUnavailable):
            memory.broker.enqueue_many([actor.message("o2"), debounced.message("a")])
    assert pending(memory) == {}


# --- with a window ---
def test_a_debounced_call_is_deduplicated_for_the_whole_window(house: House) -> None:
    runs: list[list[str]] = []
    actor = house.declare(lambda items: runs.append(items), actor_name="both", deduplicated=MINUTE, debounced=window())
    assert outcomes(actor, ("a1",), ("a1",), ("a2",)) == ["absorbed", "duplicate", "absorbed"]
    house.work()
    house.settled(actor)
    assert outcomes(actor, ("a1",)) == ["duplicate"]
    assert runs == [["a1", "a2"]]


def test_a_call_that_overflowed_is_no_original(memory: House) -> None:
    policy = window(wait=60_000, max_wait=60_000, max_buffered=1)
    actor = memory.declare(lambda items: None, actor_name="small", deduplicated=MINUTE, debounced=policy)
    assert outcomes(actor, ("a1",), ("a2",), ("a2",)) == ["absorbed", "overflow", "overflow"]


def test_a_debounced_call_is_deduplicated_even_if_its_actor_stores_results(memory: House) -> None:
    runs: list[list[str]] = []
    actor = memory.declare(
        lambda items: runs.append(items),
        actor_name="stored",
        deduplicated=MINUTE,
        debounced=window(),
        store_results=True,
    )
    assert outcomes(actor, ("a1",), ("a1",)) == ["absorbed", "duplicate"]
    memory.work()
    memory.settled(actor)
    assert runs == [["a1"]]


# --- calls that somebody waits for ---
@pytest.mark.parametrize("where", ["actor", "message", "middleware"])
def test_calls_with_stored_results_are_not_suppressed_and_get_the_value_of_the_first(
    new_house: Callable[..., House], where: str
) -> None:
    store, backend = TroubledStore(), StubBackend()
    default = Results(backend=backend, store_results=where == "middleware")
    house = new_house(store, [*guarded_stack(store), default])
    runs: list[str] = []

    def run(order: str) -> str:
        runs.append(order)
        return f"{order} #{len(runs)}"

    options = {"store_results": True} if where == "actor" else {}
    actor = house.declare(run, deduplicated=MINUTE, **options)
    house.work()
    options = {"store_results": True} if where == "message" else {}
    sent = [actor.send_with_options(args=("o1",), **options) for _ in range(3)]
    results = [m.get_result(backend=backend, block=True, timeout=10_000) for m in sent]
    assert results == ["o1 #1"] * 3
    assert runs == ["o1"]

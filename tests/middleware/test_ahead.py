"""Calls that wait in a worker are claimed with the one that begins: fewer trips, and the same guarantee."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from dramatiq.broker import MessageProxy
from dramatiq.message import Message
from dramatiq.middleware import Middleware, SkipMessage

from chatbot.brokers.worker import Worker
from chatbot.errors import StoreUnavailable
from chatbot.middleware import Idempotent
from chatbot.middleware.ahead import LONGEST, Ahead
from chatbot.middleware.claims import Record
from chatbot.stores.values import Claim, Wanted
from tests.middleware.running import House, TroubledStore
from tests.waiting import wait_until

LEASE = 10_000


class TripsStore(TroubledStore):
    """Notes which records each trip asks for, may hold trips up, and loses the answers of so many trips."""

    def __init__(self) -> None:
        super().__init__()
        self.trips: list[list[str]] = []
        self.before: Callable[[int], None] = lambda trip: None
        self.lose = 0

    def claim_many(self, wanted: Sequence[Wanted]) -> list[Claim | Exception]:
        self.trips.append([one.key.rpartition(":")[2] for one in wanted])
        self.before(len(self.trips))
        claims = super().claim_many(wanted)
        if self.lose:
            self.lose -= 1
            raise StoreUnavailable
        return claims


class Calls:
    """An idempotent actor of a house, whose first calls are held while others gather behind them."""

    def __init__(self, house: House, lease: int = LEASE) -> None:
        self.house, self.runs, self.gate = house, list[str](), threading.Event()
        self.actor = house.declare(self.run, idempotent=Idempotent(key="{order}", lease=lease), store_results=True)

    def run(self, order: str) -> str:
        self.runs.append(order)
        if order.startswith("held"):
            assert self.gate.wait(20)
        return f"{order} ran"

    @contextmanager
    def working(self, *orders: str, threads: int = 1) -> Iterator[None]:
        """Let every thread of a worker hold a call, with the orders behind them."""
        for thread in range(threads):
            self.actor.send(f"held{thread}")
        worker = Worker(self.house.broker, worker_threads=threads, worker_timeout=10)
        worker.queue_prefetch = 50
        worker.start()
        self.house.workers.append(worker)
        wait_until(lambda: len(self.runs) == threads)
        for order in orders:
            self.actor.send(order)
        wait_until(lambda: len(worker.work_queue.waiting(100)) == len(orders))
        yield
        self.gate.set()

    def done(self, *orders: str) -> None:
        wait_until(lambda: set(orders) <= set(self.runs), message=f"only {self.runs} ran")
        self.house.drained()
        assert Counter(self.runs).most_common(1)[0][1] == 1


@pytest.fixture
def store() -> TripsStore:
    return TripsStore()


@pytest.fixture
def calls(new_house: Callable[..., House], store: TripsStore) -> Calls:
    return Calls(new_house(store))


def test_what_waits_is_claimed_in_one_trip(calls: Calls, store: TripsStore) -> None:
    with calls.working("a", "b"):
        pass
    calls.done("held0", "a", "b")
    assert [sorted(trip) for trip in store.trips] == [["held0"], ["a", "b"]]
    assert store.calls["settle"] == 3


def test_a_duplicate_that_waits_behind_its_original_gets_its_result(calls: Calls) -> None:
    with calls.working("a"):
        again = calls.actor.send("a")
    assert calls.house.result(again) == "a ran"
    calls.done("a")


def test_a_call_that_waited_for_longer_than_its_claim_is_trusted_asks_again_and_runs(
    new_house: Callable[..., House], store: TripsStore
) -> None:
    calls, slow = Calls(new_house(store), lease=500), threading.Event()

    def wait(order: str) -> None:
        assert slow.wait(20)

    with calls.working():
        hold = calls.house.declare(wait, idempotent=Idempotent(key="{order}", lease=500))
        hold.send("hold")
        calls.actor.send("a")
        wait_until(lambda: len(calls.house.workers[-1].work_queue.waiting(100)) == 2)
    wait_until(lambda: ["hold", "a"] in store.trips or ["a", "hold"] in store.trips)
    time.sleep(0.6)  # the lease, which nobody renews
    slow.set()
    calls.done("a")
    assert store.trips.count(["a"]) == 1


def test_where_calls_wait_for_long_nobody_claims_ahead_for_a_while(
    new_house: Callable[..., House], store: TripsStore
) -> None:
    calls = Calls(new_house(store), lease=50)
    with calls.working("a", "b", "c", "d"):
        pass
    calls.done("a", "b", "c", "d")

    def slowly(order: str) -> None:
        time.sleep(0.03)

    actor = calls.house.declare(slowly, idempotent=Idempotent(key="{order}", lease=50))
    for number in range(20):
        actor.send(str(number))
    calls.house.drained()
    assert [len(trip) for trip in store.trips[-10:]] == [1] * 10


def test_what_a_worker_has_claimed_and_not_begun_is_free_when_it_has_stopped(calls: Calls, store: TripsStore) -> None:
    def stop(trip: int) -> None:
        if trip == 2:  # `a` begins, `b` and `c` are claimed with it
            calls.house.workers[0].workers[0].stop()

    store.before = stop
    with calls.working("a", "b", "c"):
        pass
    wait_until(lambda: "a" in calls.runs)
    calls.house.stop()
    assert calls.runs == ["held0", "a"]
    assert sorted(store.trips[1]) == ["a", "b", "c"]
    assert store.calls["release"] == 2
    calls.house.work()
    calls.done("b", "c")


def test_a_worker_that_stops_without_its_store_asks_it_once(calls: Calls, store: TripsStore) -> None:
    def stop(trip: int) -> None:
        if trip == 2:
            calls.house.workers[0].workers[0].stop()
            store.down = {"release"}

    store.before = stop
    with calls.working("a", "b", "c"):
        pass
    wait_until(lambda: "a" in calls.runs)
    calls.house.stop()
    assert store.calls["release"] == 1


def test_what_is_skipped_gives_its_claim_back(calls: Calls, store: TripsStore) -> None:
    class Skips(Middleware):
        def before_process_message(self, broker: Any, message: Any) -> None:
            if message.args == ("b",) and not message.options.get("again"):
                raise SkipMessage("not now")

    calls.house.broker.add_middleware(Skips())
    with calls.working("a", "b"):
        pass
    calls.done("a")
    assert store.calls["release"] == 1
    again = calls.actor.send_with_options(args=("b",), again=True)
    assert calls.house.result(again) == "b ran"


def test_a_store_that_fails_in_the_shared_trip_fails_nobody(calls: Calls, store: TripsStore) -> None:
    def fail(trip: int) -> None:
        if trip == 2:
            raise StoreUnavailable

    store.before = fail
    with calls.working("a", "b", "c"):
        pass
    calls.done("a", "b", "c")


def test_an_answer_that_gets_lost_doubles_nothing(calls: Calls, store: TripsStore) -> None:
    with calls.working("a", "b", "c", threads=2):
        store.lose = 2
    calls.done("a", "b", "c")
    assert store.lose == 0


def test_who_waits_too_long_for_another_ones_trip_goes_alone(
    new_house: Callable[..., House], store: TripsStore
) -> None:
    calls, held, late = Calls(new_house(store), lease=1_000), threading.Event(), threading.Event()

    def hold(trip: int) -> None:
        if "c" in store.trips[trip - 1] and not held.is_set():
            held.set()
            assert late.wait(20)

    store.before = hold
    # One of two threads claims `c` with its own call; the other one wants to run it.
    with calls.working("a", "b", "c", threads=2):
        calls.gate.set()
        assert held.wait(10)
        wait_until(lambda: ["c"] in store.trips, message="nobody went alone")
        late.set()
    calls.done("a", "b", "c")


def test_calls_without_a_key_or_with_a_bad_one_are_left_out(calls: Calls, store: TripsStore) -> None:
    def run(order: str | None) -> None:
        calls.runs.append(f"free {order}")

    free = calls.house.declare(run, idempotent=Idempotent(key=lambda order: order))
    bad = calls.house.declare(run, idempotent=Idempotent(key="{absent}"), max_retries=0)
    with calls.working("a"):
        free.send(None)
        bad.send("x")
    calls.done("a", "free None")
    assert [len(trip) for trip in store.trips] == [1, 1]
    assert len(calls.house.dead) == 1


def test_who_waits_with_a_bad_id_fails_alone(calls: Calls) -> None:
    with calls.working("a"):
        bad = calls.actor.message("b").copy(message_id="m|1")
        calls.house.broker.enqueue(bad)
    calls.done("held0", "a")


class Decrypts(Middleware):
    def before_process_message(self, broker: Any, message: Any) -> None:
        message.args = ("plain",) if message.args[0].startswith("secret") else message.args


@pytest.mark.parametrize("how", ["as a class", "as an instance", "while the worker runs"])
def test_what_another_middleware_changes_runs_under_the_key_that_it_has_then(calls: Calls, how: str) -> None:
    """One that decrypts arguments, say."""
    decrypts: Any = Decrypts()
    if how == "as an instance":
        decrypts = Middleware()
        decrypts.before_process_message = Decrypts().before_process_message
    if how != "while the worker runs":
        calls.house.broker.add_middleware(decrypts)
    with calls.working("a", "secret1", "secret2"):
        if how == "while the worker runs":
            calls.house.broker.add_middleware(decrypts)
    calls.done("a", "plain")


def test_long_leases_are_not_taken_ahead(new_house: Callable[..., House], store: TripsStore) -> None:
    """If the process dies, what it had claimed would wait for so long."""
    calls = Calls(new_house(store), lease=LONGEST + 1)
    with calls.working("a", "b"):
        pass
    calls.done("a", "b")
    assert [len(trip) for trip in store.trips] == [1, 1, 1]


def test_who_begins_what_is_being_given_back_claims_it_as_somebody_else(store: TripsStore) -> None:
    """The claim that is given back must not be the one under which the call runs."""
    first, second = (MessageProxy(Message("q", "a", (name,), {}, {})) for name in "xy")

    def record(message: MessageProxy) -> Record:
        return Record(key=f"run:a:{message.args[0]}", fingerprint="", ttl=60_000, value_ttl=60_000, lease=5_000)

    ahead = Ahead(store, record)
    ahead.waiting = lambda most: [second]
    ahead.claim(record(first), first)
    _, given_back = ahead._ahead.popitem()
    owner, _, claim = ahead.claim(record(second), second)
    assert owner != given_back.wanted.owner
    assert claim.verdict == "busy"

"""Rules 1, 2, 6, 10 and 11: who may claim what, and what a claim means to everybody else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from dramatiq import group, pipeline
from dramatiq.brokers.stub import StubBroker as StockStubBroker
from dramatiq.middleware import MiddlewareError

from chatbot.brokers.stub import StubBroker
from chatbot.errors import StoreUnavailable
from chatbot.middleware import Deduplicated, Idempotent, admit, declare, guarded_stack
from chatbot.middleware.deduplication import LEASE as PUBLICATION_LEASE
from chatbot.stores.base import Store
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import Lease
from tests.conformance.ledgers import LEASE, Ledger
from tests.middleware.running import House, TroubledStore, window
from tests.servers import free_port
from tests.waiting import wait_until

URGENT = {"wait": 0, "max_wait": 0}
MINUTE = Deduplicated(window=60_000)


class Work:
    """An actor whose runs may be held inside."""

    def __init__(self, house: House, **options: Any) -> None:
        self.runs, self.most, self.inside = list[str](), 0, 0
        self.gate, self._lock = threading.Event(), threading.Lock()
        self.gate.set()
        self.actor = house.declare(self.run, **options)

    def run(self, order: str) -> str:
        with self._lock:
            self.runs.append(order)
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.gate.wait(10)
        with self._lock:
            self.inside -= 1
        return f"{order} #{len(self.runs)}"


# --- 1 ---
def test_rule_01_a_claim_is_reentrant_per_message_id_at_enqueue(house: House) -> None:
    """Dramatiq enqueues a message again at each retry, at its promotion, and up to six times in a reconnect loop."""
    work = Work(house, deduplicated=MINUTE)
    message = work.actor.message("o1")
    again = [house.broker.enqueue(message).options["outcome"] for _ in range(6)]
    assert again == ["enqueued"] * 6
    assert work.actor.send("o1").options["original"] == message.message_id


def test_rule_01_a_retry_and_the_promotion_of_a_delayed_call_are_no_duplicates_of_it(house: House) -> None:
    runs: list[str] = []

    def run(order: str) -> None:
        runs.append(order)
        if len(runs) < 3:
            raise ValueError

    actor = house.declare(run, deduplicated=MINUTE)
    house.work()
    actor.send_with_options(args=("o1",), delay=50)
    assert actor.send("o1").options["outcome"] == "duplicate"
    wait_until(lambda: runs == ["o1"] * 3)


def test_rule_01_a_buffered_call_that_is_sent_again_is_its_own_duplicate(house: House) -> None:
    work = Work(house, debounced=window(wait=60_000, max_wait=60_000))
    message = work.actor.message("a1")
    assert [house.broker.enqueue(message).options["outcome"] for _ in range(3)] == ["absorbed", *["duplicate"] * 2]


def test_rule_01_the_owner_at_execution_is_one_delivery(house: House) -> None:
    """A broker may redeliver a message while the first worker still runs it."""
    work = Work(house, idempotent=Idempotent(key="{order}"), store_results=True)
    work.gate.clear()
    house.work()
    message = work.actor.send("o1")
    house.broker.enqueue(message)
    wait_until(lambda: work.runs)
    with pytest.raises(AssertionError):
        wait_until(lambda: work.most > 1, timeout=0.4)
    work.gate.set()
    assert house.result(message) == "o1 #1"
    assert (work.runs, work.most) == (["o1"], 1)


def test_rule_01_a_repeated_begin_of_one_delivery_is_its_own(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.take()
    assert [ledger.begin(check, owner).verdict for owner in ("m/1", "m/1", "m/2")] == ["new", "mine", "busy"]


# --- 2 ---
def test_rule_02_an_id_is_known_exactly_if_its_item_is_there(ledger: Ledger) -> None:
    assert ledger.offer("1", "2", max_buffered=1) == ["opened", "overflow"]
    assert ledger.offer("1", "2") == ["duplicate", "joined"]
    ledger.advance(20_000)
    assert ledger.run_all() == [["1", "2"]]


def guarded(store: Store) -> Any:
    """Return a deduplicated actor of another process that shares the store."""
    broker = StubBroker(middleware=guarded_stack(store))
    return declare(broker, lambda order: None, actor_name="work", deduplicated=MINUTE)


def test_rule_02_a_sender_that_dies_before_its_publication_delays_a_resend_and_never_swallows_it(
    ledger: Ledger,
) -> None:
    dying, other = guarded(ledger.store), guarded(ledger.store)
    (admitted,) = admit(dying.broker, [dying.message("o1")])
    assert admitted.options["outcome"] == "enqueued"  # and here it dies
    ledger.advance(PUBLICATION_LEASE + 100)
    assert other.send("o1").options["outcome"] == "enqueued"


def test_rule_02_a_published_call_holds_its_claim_for_the_window(ledger: Ledger) -> None:
    one, other = guarded(ledger.store), guarded(ledger.store)
    first = one.send("o1")
    ledger.advance(PUBLICATION_LEASE + 100)
    assert other.send("o1").options["original"] == first.message_id


# --- 6 ---
def overtaken(ledger: Ledger) -> Any:
    """Let `zombie` lose its turn to `w2`."""
    ledger.offer("1", **URGENT)
    check = ledger.run("zombie")
    ledger.advance(LEASE)
    assert ledger.begin(ledger.take(), "w2").verdict == "taken"
    return check


@pytest.mark.parametrize("outcome", ["ok", "dead", "retry", "split"])
def test_rule_06_a_zombie_finishes_nothing(ledger: Ledger, outcome: str) -> None:
    check = overtaken(ledger)
    assert ledger.finish(check, "zombie", outcome) == "refused"
    assert ledger.finish(check, "w2") == "settled"
    assert ledger.finish(check, "zombie", outcome) == "refused"


def test_rule_06_a_zombie_renews_and_unlocks_nothing(ledger: Ledger) -> None:
    check = overtaken(ledger)
    assert not ledger.renew("zombie")
    assert not ledger.store.unlock("turn/a", check.epoch, "zombie")
    assert ledger.store.inspect("turn/a").owner == "w2"


def test_rule_06_a_zombie_settles_renews_and_releases_no_record(ledger: Ledger) -> None:
    store = ledger.store
    assert store.claim("k", "zombie", LEASE).verdict == "new"
    ledger.advance(LEASE + 100)
    assert store.claim("k", "w2", LEASE).verdict == "new"
    assert store.settle("k", "zombie", "", b"wrong", 60_000, 60_000) is None
    assert store.renew([Lease("claim", "k", "zombie")], LEASE) == [False]
    assert not store.release("k", "zombie")
    assert store.settle("k", "w2", "", b"right", 60_000, 60_000) == b"right"


# --- 10 ---
@pytest.fixture(params=["memory", "redis"])
def absent(request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store that does not answer."""
    if request.param == "memory":
        store = TroubledStore()
        store.down = {"offer", "claim"}
        yield store
        return
    with closing(RedisStore(f"redis://127.0.0.1:{free_port()}/0")) as redis_store:
        yield redis_store


@pytest.mark.parametrize("kind", [StubBroker, StockStubBroker], ids=["ours", "dramatiq's"])
@pytest.mark.parametrize("policy", [{"debounced": window()}, {"deduplicated": MINUTE}], ids=["debounced", "dedup"])
def test_rule_10_a_store_that_is_down_is_an_error_to_the_sender(
    absent: Store, kind: type[Any], policy: dict[str, Any]
) -> None:
    broker = kind(middleware=guarded_stack(absent))
    actor = declare(broker, lambda item: None, actor_name="work", **policy)
    with pytest.raises(StoreUnavailable) as caught:
        actor.send("a1")
    assert isinstance(caught.value, MiddlewareError)
    assert broker.queues[actor.queue_name].qsize() == 0


@pytest.mark.parametrize("kind", [StubBroker, StockStubBroker], ids=["ours", "dramatiq's"])
def test_rule_10_only_an_actor_that_says_so_proceeds(absent: Store, kind: type[Any]) -> None:
    broker = kind(middleware=guarded_stack(absent))
    policy = Deduplicated(window=60_000, on_store_error="proceed")
    actor = declare(broker, lambda item: None, actor_name="work", deduplicated=policy)
    actor.send("o1")
    assert broker.queues[actor.queue_name].qsize() == 1


# --- 11 ---
@pytest.mark.parametrize(
    "policy", [{"deduplicated": MINUTE}, {"idempotent": Idempotent(key="{order}")}], ids=["deduplicated", "idempotent"]
)
@pytest.mark.parametrize("during", [False, True], ids=["after the run", "during the run"])
def test_rule_11_a_suppressed_duplicate_still_answers(house: House, policy: dict[str, Any], during: bool) -> None:
    work, heard, done = Work(house, store_results=True, **policy), list[str](), threading.Event()
    listener = house.declare(heard.append, actor_name="listener")
    finished = house.declare(lambda: done.set(), actor_name="finished")
    house.work()
    work.gate.clear()
    first = work.actor.send("o1")
    wait_until(lambda: work.runs)
    if not during:
        work.gate.set()
        house.result(first)
    pipeline([work.actor.message("o1"), listener.message()], broker=house.broker).run()
    both = group([work.actor.message("o1"), work.actor.message("o1")], broker=house.broker)
    both.add_completion_callback(finished.message())
    both.run()
    work.gate.set()
    assert done.wait(20)
    wait_until(lambda: heard)
    assert [*heard, house.result(first), *both.get_results(block=True, timeout=10_000)] == ["o1 #1"] * 4
    assert work.runs == ["o1"]

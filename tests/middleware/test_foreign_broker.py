"""The guards on a broker that knows nothing of them: Dramatiq's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.message import Message
from dramatiq.middleware import Middleware

from chatbot.errors import GuardError, PolicyInvalid, StoreUnavailable, Suppressed
from chatbot.middleware import Debounced, Deduplicated, Idempotent, current_turn, guarded_stack
from chatbot.stores.redis import RedisStore
from tests.middleware.running import NUMBERS, House, TroubledStore, window
from tests.servers import RedisServer
from tests.waiting import wait_until

MINUTE = Deduplicated(window=60_000)


@pytest.fixture
def foreign(new_house: Callable[..., House]) -> House:
    return new_house(kind=StubBroker)


class Timed(msgspec.Struct):
    at: datetime
    text: str


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def queued(house: House) -> int:
    return sum(queue.qsize() for queue in house.broker.queues.values())


def one(items: list[str]) -> None: ...


def test_a_call_that_joins_a_window_raises_suppressed(foreign: House) -> None:
    runs: list[list[str]] = []
    actor = foreign.declare(lambda items: runs.append(items), actor_name="d", debounced=window())
    for item in ("a1", "a2"):
        with pytest.raises(Suppressed) as suppressed:
            actor.send(item)
        assert suppressed.value.outcome == "absorbed"
    foreign.work()
    foreign.settled(actor)
    assert runs == [["a1", "a2"]]


def test_a_duplicate_raises_suppressed_and_the_original_is_marked(foreign: House) -> None:
    actor = foreign.declare(one, deduplicated=MINUTE)
    original = actor.send("x")
    assert original.options["outcome"] == "enqueued"
    with pytest.raises(Suppressed) as suppressed:
        actor.send("x")
    assert (suppressed.value.outcome, suppressed.value.original) == ("duplicate", original.message_id)
    assert queued(foreign) == 1


@pytest.mark.parametrize("delay", [None, 30])
def test_retries_and_delayed_calls_pass(foreign: House, delay: int | None) -> None:
    runs: list[str] = []

    def run(order: str) -> None:
        runs.append(order)
        if len(runs) < 3:
            raise ValueError

    actor = foreign.declare(run, deduplicated=MINUTE, idempotent=Idempotent(key="{order}"))
    foreign.work()
    actor.send_with_options(args=("o1",), delay=delay)
    wait_until(lambda: len(runs) == 3)
    foreign.drained()
    assert foreign.dead == []


def plain_producer(house: House, actor: Any, item: Any, **options: Any) -> Message[Any]:
    """Publish as a process without guards would."""
    producer = StubBroker(middleware=[])
    for shared in ("queues", "delay_queues"):
        setattr(producer, shared, getattr(house.broker, shared))
    delay = options.pop("delay", None)
    message = Message[Any](actor.queue_name, actor.actor_name, (item,), {}, options)
    return producer.enqueue(message, delay=delay)


@pytest.mark.parametrize("kind", ["ours", "foreign"])
@pytest.mark.parametrize("delay", [None, 30])
def test_a_call_of_a_producer_without_guards_joins_its_window_when_it_arrives(
    new_house: Callable[..., House], kind: str, delay: int | None
) -> None:
    house = new_house(kind=StubBroker) if kind == "foreign" else new_house()
    runs: list[list[str]] = []
    policy = window(wait=60_000, max_wait=60_000, max_items=2)
    actor = house.declare(lambda items: runs.append(items), actor_name="d", debounced=policy)
    for item in ("a1", "a2"):
        plain_producer(house, actor, item, delay=delay)
    house.work()
    wait_until(lambda: runs)
    assert sorted(runs[0]) == ["a1", "a2"]
    house.drained()


def test_an_edit_of_a_producer_without_guards_is_made_when_it_arrives(memory: House) -> None:
    runs: list[list[str]] = []
    policies = {"debounced": window(wait=60_000, max_wait=60_000), "idempotent": Idempotent(key=str)}
    actor = memory.declare(lambda items: runs.append(items), actor_name="d", **policies)
    memory.broker.enqueue_many([actor.message(item) for item in ("a1", "a2", "a3")])
    plain_producer(memory, actor, "a two", amends="a2")
    plain_producer(memory, actor, "-", withdraws="a3", debounced={"key": "a"})
    memory.work()
    memory.drained()
    actor.send_with_options(args=("a4",), debounced={"wait": 0})
    memory.settled(actor)
    assert runs == [["a1", "a two", "a4"]]


def test_a_full_window_takes_the_call_of_a_producer_without_guards_later(new_house: Callable[..., House]) -> None:
    house, open_ = new_house(), threading.Event()
    runs: list[list[str]] = []

    def collect(items: list[str]) -> None:
        runs.append(items)
        assert open_.wait(10)

    actor = house.declare(collect, debounced=window(wait=0, max_buffered=1))
    house.work()
    actor.send("a1")
    wait_until(lambda: runs)
    plain_producer(house, actor, "a2")
    wait_until(lambda: house.broker.queues[actor.queue_name + ".DQ"].unfinished_tasks)
    open_.set()
    wait_until(lambda: runs == [["a1"], ["a2"]])


def test_a_call_of_a_producer_without_guards_gets_the_type_of_its_actor(foreign: House) -> None:
    got: list[Any] = []

    def collect(items: list[Timed]) -> None:
        got.extend(items)

    actor = foreign.declare(collect, debounced=Debounced(key=lambda item: item.text, wait=0, max_wait=0))
    plain_producer(foreign, actor, {"at": "2026-01-31T12:00:00Z", "text": "a"})
    foreign.work()
    wait_until(lambda: got == [Timed(NOON, "a")])


def test_a_call_that_can_never_join_a_window_is_a_dead_letter_at_once(foreign: House) -> None:
    actor = foreign.declare(one, debounced=window())
    plain_producer(foreign, actor, 5)
    foreign.work()
    wait_until(lambda: len(foreign.dead) == 1)


def test_a_retry_of_a_call_from_a_producer_without_guards_is_not_suppressed(foreign: House) -> None:
    runs: list[str] = []

    def run(order: str) -> None:
        runs.append(order)
        if len(runs) == 1:
            raise ValueError

    actor = foreign.declare(run, deduplicated=MINUTE)
    plain_producer(foreign, actor, "o1")
    foreign.work()
    wait_until(lambda: len(runs) == 2)


@pytest.mark.parametrize("verb", ["offer", "claim"])
def test_a_store_that_is_down_never_means_unguarded(foreign: House, verb: str) -> None:
    assert isinstance(foreign.store, TroubledStore)
    actor = foreign.declare(one, **({"debounced": window()} if verb == "offer" else {"deduplicated": MINUTE}))
    foreign.store.down = {verb}
    with pytest.raises(StoreUnavailable):
        actor.send("a1")
    assert queued(foreign) == 0


def bug(item: str) -> str:
    raise ZeroDivisionError


@pytest.mark.parametrize("policy", [{"deduplicated": Deduplicated(window=5, key=bug)}, {"debounced": window()}])
def test_a_bug_in_a_policy_never_means_unguarded(foreign: House, policy: Any) -> None:
    actor = foreign.declare(one, **policy)
    override = {"debounced": {"key": bug}} if "debounced" in policy else {}
    with pytest.raises(GuardError, match="ZeroDivisionError"):
        actor.send_with_options(args=("a1",), **override)
    assert queued(foreign) == 0


def test_a_call_that_does_not_fit_is_refused_to_the_sender(foreign: House) -> None:
    actor = foreign.declare(one, debounced=window())
    with pytest.raises(PolicyInvalid):
        actor.send("a", "b")


def test_guards_are_asked_once_per_call(foreign: House) -> None:
    assert isinstance(foreign.store, TroubledStore)
    actor = foreign.declare(one, debounced=window(wait=60_000, max_wait=60_000))
    with pytest.raises(Suppressed):
        actor.send("a1")
    assert foreign.store.calls["offer"] == 1


class Forgetful(Middleware):
    """Publications are attempted several times, as in RabbitMQ's reconnect loop."""

    def before_enqueue(self, broker: Any, message: Message[Any], delay: int | None) -> None:
        for guard in broker.middleware:
            if guard is not self:
                guard.before_enqueue(broker, message, delay)


def test_a_publication_that_is_attempted_again_is_no_duplicate_of_itself(new_house: Callable[..., House]) -> None:
    store = TroubledStore()
    house = new_house(store, [*guarded_stack(store), Forgetful()], StubBroker)
    actor = house.declare(one, deduplicated=MINUTE)
    assert actor.send("x").options["outcome"] == "enqueued"


@pytest.fixture
def stock_redis(redis_server: RedisServer) -> Iterator[House]:
    namespace = f"s{next(NUMBERS)}"
    store = RedisStore(redis_server.url, namespace=namespace)
    client = redis.Redis.from_url(redis_server.url)
    house = House(store, RedisBroker(client=client, namespace=namespace + "-q", middleware=guarded_stack(store)))
    yield house
    house.close()
    client.close()
    store.close()


def test_all_of_it_works_on_dramatiqs_redis_broker(stock_redis: House) -> None:
    runs: list[Any] = []

    def collect(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        runs.append(items)
        if turn.attempt == 1:
            raise ValueError

    def charge(order: str) -> str:
        runs.append(order)
        if runs.count(order) == 1:
            raise ValueError
        return order

    debounced = stock_redis.declare(collect, debounced=window())
    charged = stock_redis.declare(charge, idempotent=Idempotent(key="{order}"), deduplicated=MINUTE, store_results=True)
    for item in ("a1", "a2"):
        with pytest.raises(Suppressed):
            debounced.send(item)
    stock_redis.work()
    stock_redis.settled(debounced)
    assert runs == [["a1", "a2"]] * 2
    assert [stock_redis.result(charged.send("o1")) for _ in range(2)] == ["o1", "o1"]
    assert runs[2:] == ["o1", "o1"]

"""A fetched message belongs to one delivery: its worker settles it, or others take it over, and nothing is stranded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
import redis
from dramatiq import Worker
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker
from dramatiq.errors import BrokerConnectionError
from dramatiq.message import Message

from chatbot.brokers.redis import RedisBroker
from chatbot.brokers.redis_deliveries import Acknowledger
from chatbot.middleware import declare, guarded_stack
from chatbot.middleware.patience import keep
from chatbot.stores.memory import MemoryStore
from tests.servers import RedisServer
from tests.waiting import wait_until

NewBroker = Callable[..., Any]

#: s. Who is to be taken over soon has a shorter lease, or loses it by `end_lease`.
QUICK = {"heartbeat": 0.2, "lease": 7.0}


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with closing(redis.Redis.from_url(server.url)) as client:
        yield client


@pytest.fixture
def new_broker(server: RedisServer) -> Iterator[NewBroker]:
    """Makes brokers as processes of their own would have them."""
    made: list[RedisBroker] = []

    def create(**options: Any) -> RedisBroker:
        made.append(RedisBroker(url=server.url, middleware=guarded_stack(MemoryStore()), **{**QUICK, **options}))
        made[-1].declare_queue("default")
        return made[-1]

    yield create
    for broker in made:
        broker.close()


def enqueue(broker: Any, count: int, **options: Any) -> list[str]:
    messages = [
        Message(queue_name="default", actor_name="nobody", args=(n,), kwargs={}, options={}) for n in range(count)
    ]
    return [broker.enqueue(message, **options).message_id for message in messages]


def fetch(consumer: Any, count: int = 1) -> list[Any]:
    found: list[Any] = []

    def look() -> bool:
        if (message := next(consumer)) is not None:
            found.append(message)
        return len(found) == count

    wait_until(look)
    return found


def end_lease(client: redis.Redis, broker: Any) -> None:
    """Let a worker's lease be over, as if it had been paused."""
    client.zadd("dramatiq:__workers__", {broker.broker_id: 1}, xx=True)


# --- one owner at a time ---
def test_what_was_taken_over_is_redelivered_and_its_first_worker_cannot_settle_it(
    new_broker: NewBroker, client: redis.Redis
) -> None:
    slow, quick = new_broker(heartbeat=60.0, lease=2.5), new_broker()
    enqueue(slow, 3)
    consumer = slow.consume("default", prefetch=3)
    deliveries = fetch(consumer, 3)
    assert not any(delivery.redelivered for delivery in deliveries)
    others = quick.consume("default", prefetch=3)
    again = fetch(others, 3)
    assert all(delivery.redelivered for delivery in again)
    consumer.ack(deliveries[0])
    consumer.nack(deliveries[1])
    consumer.requeue([deliveries[2]])
    for late in ("ack", "nack", "requeue"):  # as if they came before it knew
        parts = [part for delivery in deliveries for part in (delivery.redis_id, delivery.token)]
        assert slow.scripts(late, slow.broker_id, "default", *parts) == [0, 0, 0]
    assert client.hlen("dramatiq:default.msgs") == 3
    assert (client.exists("dramatiq:default.XQ"), client.llen("dramatiq:default")) == (0, 0)
    for delivery in again:
        others.ack(delivery)
    wait_until(lambda: client.hlen("dramatiq:default.msgs") == client.hlen("dramatiq:default.held") == 0)


def test_a_worker_that_gets_its_own_message_back_cannot_settle_the_first_delivery(
    new_broker: NewBroker, client: redis.Redis
) -> None:
    broker = new_broker(heartbeat=2.0, lease=60.0)
    enqueue(broker, 1)
    consumer = broker.consume("default", prefetch=2)
    (first,) = fetch(consumer)
    new_broker().consume("another")
    end_lease(client, broker)
    wait_until(lambda: client.llen("dramatiq:default") == 1)
    (second,) = fetch(consumer)
    consumer.ack(first)
    assert client.hlen("dramatiq:default.msgs") == 1
    consumer.ack(second)
    wait_until(lambda: client.hlen("dramatiq:default.msgs") == 0)


def test_what_was_put_back_was_not_delivered_before_and_keeps_its_place(new_broker: NewBroker) -> None:
    broker = new_broker()
    sent = enqueue(broker, 4)
    consumer = broker.consume("default", prefetch=4)
    delivered = fetch(consumer, 3)
    broker.emit_before("worker_shutdown", None)
    assert next(consumer) is None
    consumer.requeue(delivered)
    consumer.close()
    broker.emit_before("worker_boot", None)
    again = fetch(broker.consume("default", prefetch=4), 4)
    assert [delivery.message_id for delivery in again] == sent
    assert not any(delivery.redelivered for delivery in again)


def test_an_answer_that_was_lost_is_given_again(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    sent = enqueue(broker, 5)
    consumer = broker.consume("default", prefetch=3)
    wait_until(lambda: broker.steward.holds_lease(0))
    assert len(broker.scripts("fetch", broker.broker_id, "default", 1, 3)) == 9
    assert {delivery.message_id for delivery in fetch(consumer, 3)} == set(sent[:3])


def test_a_fetch_that_comes_late_gets_nothing(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    enqueue(broker, 3)
    consumer = broker.consume("default", prefetch=1)
    consumer.ack(*fetch(consumer))
    fetch(consumer)
    assert broker.scripts("fetch", broker.broker_id, "default", 1, 3) == []
    assert client.llen("dramatiq:default") == 1


def test_what_an_operator_has_deleted_does_not_keep_what_follows(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    consumer = broker.consume("default", prefetch=2, timeout=500)
    enqueue(broker, 2)
    client.delete("dramatiq:default.msgs")
    # Not before it holds its lease does it fetch anything.
    wait_until(lambda: next(consumer) is None and not client.llen("dramatiq:default"))
    (sent,) = enqueue(broker, 1)
    assert [delivery.message_id for delivery in fetch(consumer)] == [sent]


def test_who_has_no_lease_gets_nothing(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    enqueue(broker, 1)
    assert broker.scripts("fetch", "nobody", "default", 1, 1) is None
    assert client.llen("dramatiq:default") == 1


def test_a_publication_that_is_repeated_after_it_was_acknowledged_stays_one(
    new_broker: NewBroker, client: redis.Redis
) -> None:
    broker = new_broker()
    args = ["default", "an id", "", Message("default", "nobody", (), {}, {"redis_message_id": "an id"}).encode()]
    broker.scripts("enqueue", *args)
    consumer = broker.consume("default", prefetch=1, timeout=1_000)
    consumer.ack(*fetch(consumer))
    wait_until(lambda: not client.hlen("dramatiq:default.msgs"))
    broker.scripts("enqueue", *args)
    assert client.llen("dramatiq:default") == client.hlen("dramatiq:default.msgs") == 0
    assert 0 < client.pttl("dramatiq:__sent__.an id") <= 30_000
    consumer.close()


def test_a_command_that_is_sent_twice_publishes_once(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    for _ in range(2):
        broker.scripts("enqueue", "default", "id", "", "body", "default", "other", 60_000, "body")
    assert client.llen("dramatiq:default") == client.llen("dramatiq:default.DQ") == 1


def test_what_is_not_to_be_acknowledged_goes_back_when_its_worker_stops(
    new_broker: NewBroker, client: redis.Redis
) -> None:
    broker = new_broker()
    enqueue(broker, 2)
    consumer = broker.consume("default", prefetch=2)
    kept, other = fetch(consumer, 2)
    keep(kept)
    consumer.ack(other)
    consumer.close()
    assert client.lrange("dramatiq:default", 0, -1) == [kept.redis_id.encode()]


def test_a_consumer_that_closes_puts_back_what_it_did_not_hand_out(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    sent = enqueue(broker, 3)
    consumer = broker.consume("default", prefetch=3)
    assert fetch(consumer)[0].message_id == sent[0]
    consumer.close()
    assert client.llen("dramatiq:default") == 2


# --- messages that are none ---
@pytest.mark.parametrize("garbage", [b"\x00 no message", b"{}", b"[]", b"7", b'{"queue_name": []}'])
@pytest.mark.parametrize("queue", ["default", "default.DQ"])
def test_what_cannot_be_decoded_becomes_a_dead_letter_and_strands_nothing(
    new_broker: NewBroker, client: redis.Redis, garbage: bytes, queue: str
) -> None:
    calls: list[int] = []
    broker = new_broker()
    actor = declare(broker, calls.append)
    actor.send(1)
    client.hset(f"dramatiq:{queue}.msgs", "poison", garbage)
    client.rpush(f"dramatiq:{queue}", "poison")
    actor.send(2)
    worker = Worker(broker, worker_threads=1, worker_timeout=40)
    worker.start()
    try:
        wait_until(lambda: len(calls) == 2)
        wait_until(lambda: client.hkeys("dramatiq:default.XQ.msgs") == [b"poison"])
    finally:
        worker.stop()
    assert broker.do_qsize("default") == 0


def test_an_id_without_a_body_is_passed_over(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    client.rpush("dramatiq:default", "ghost")
    sent = enqueue(broker, 1)
    assert fetch(broker.consume("default"))[0].message_id == sent[0]


# --- a server that hangs ---
def test_every_command_of_a_server_that_hangs_raises_dramatiqs_own_error(
    new_broker: NewBroker, server: RedisServer
) -> None:
    broker = new_broker(socket_timeout=0.3, lease=2.0)
    (sent,) = enqueue(broker, 1)
    consumer = broker.consume("default")
    (delivery,) = fetch(consumer)
    assert delivery.message_id == sent
    server.pause()
    try:
        commands = [
            lambda: enqueue(broker, 1), lambda: consumer.nack(delivery), lambda: consumer.requeue([delivery]),
            lambda: broker.join("default"), lambda: broker.flush("default"),
        ]  # fmt: skip
        for command in commands:
            with pytest.raises(BrokerConnectionError):
                command()
        assert next(consumer) is None, "a consumer waits for its server"
    finally:
        server.resume()
    consumer.ack(delivery)
    consumer.close()


# --- plain Dramatiq ---
def test_what_a_dead_worker_of_plain_dramatiq_held_is_taken_over(
    new_broker: NewBroker, server: RedisServer, client: redis.Redis
) -> None:
    stock: Any = StockRedisBroker(url=server.url, middleware=[])
    stock.declare_queue("default")
    sent = enqueue(stock, 2) + enqueue(stock, 1, delay=100)
    assert next(stock.consume("default", prefetch=2)).message_id == sent[0]
    assert next(stock.consume("default.DQ")).message_id == sent[2]
    client.zadd("dramatiq:__heartbeats__", {stock.broker_id: int(time.time() * 1000) - 60_001})
    found = fetch(new_broker().consume("default", prefetch=3), 3)
    assert {delivery.message_id for delivery in found} == set(sent)
    stock.client.close()


def test_what_a_living_worker_of_plain_dramatiq_holds_is_its_own(new_broker: NewBroker, server: RedisServer) -> None:
    stock: Any = StockRedisBroker(url=server.url, middleware=[])
    stock.declare_queue("default")
    sent = enqueue(stock, 2)
    assert next(stock.consume("default")).message_id == sent[0]
    consumer = new_broker().consume("default", prefetch=2, timeout=200)
    assert fetch(consumer)[0].message_id == sent[1]
    assert next(consumer) is None
    stock.client.close()


# --- acknowledging ---
def test_what_was_done_while_the_server_was_away_is_acknowledged_when_it_is_back(
    new_broker: NewBroker, server: RedisServer, client: redis.Redis
) -> None:
    broker = new_broker(socket_timeout=0.3, lease=0.7)
    enqueue(broker, 2)
    consumer = broker.consume("default", prefetch=2)
    deliveries = fetch(consumer, 2)
    server.pause()
    try:
        for delivery in deliveries:
            consumer.ack(delivery)
        time.sleep(broker.lease * 1.5)  # nobody is there who could take them over
    finally:
        server.resume()
    wait_until(lambda: client.hlen("dramatiq:default.msgs") == 0)
    consumer.close()


def test_a_consumer_that_is_closed_has_acknowledged_what_was_done(new_broker: NewBroker, client: redis.Redis) -> None:
    broker = new_broker()
    enqueue(broker, 50)
    consumer = broker.consume("default", prefetch=50)
    for delivery in fetch(consumer, 50):
        consumer.ack(delivery)
    consumer.close()
    assert client.hlen("dramatiq:default.msgs") == 0


def test_what_is_done_meanwhile_shares_the_next_call() -> None:
    calls: list[list[Any]] = []
    sending, more = threading.Event(), threading.Event()

    def send(deliveries: list[Any]) -> None:
        calls.append(deliveries)
        sending.set()
        assert more.wait(10)

    acknowledger = Acknowledger(send)
    given: list[Any] = [object() for _ in range(5)]
    acknowledger.put(given[0])
    assert sending.wait(10)
    for delivery in given[1:]:
        acknowledger.put(delivery)
    more.set()
    acknowledger.stop()
    assert calls == [given[:1], given[1:]]
    acknowledger.put(given[0])  # it begins anew
    acknowledger.stop()
    assert calls[2:] == [given[:1]]


def test_an_acknowledgement_after_the_stop_is_sent_by_who_asks_for_it() -> None:
    sent: list[list[Any]] = []
    acknowledger = Acknowledger(sent.append)
    acknowledger.put(first := object())  # type: ignore[arg-type]
    acknowledger.stop()
    before = threading.enumerate()
    acknowledger.put(late := object())  # type: ignore[arg-type]
    assert sent == [[first], [late]]
    assert not [t for t in threading.enumerate() if "acknowledger" in t.name and t not in before]


def test_what_runs_while_its_consumer_is_replaced_is_acknowledged(new_broker: NewBroker, client: redis.Redis) -> None:
    """Dramatiq closes a consumer after an error that it does not know, and makes another one."""
    broker = new_broker()
    enqueue(broker, 1)
    consumer = broker.consume("default")
    (delivery,) = fetch(consumer)
    consumer.close()
    broker.consume("default").ack(delivery)
    wait_until(lambda: not client.hlen("dramatiq:default.msgs"))


def test_what_a_worker_could_not_give_back_is_taken_over_while_its_process_lives(
    new_broker: NewBroker, server: RedisServer
) -> None:
    broker = new_broker(lease=2.5, socket_timeout=0.3)
    sent = enqueue(broker, 3)
    consumer = broker.consume("default", prefetch=3)
    fetch(consumer, 3)
    broker.emit_before("worker_shutdown", None)
    server.pause()
    try:
        with contextlib.suppress(BrokerConnectionError):
            consumer.close()
    finally:
        server.resume()
    broker.emit_before("worker_boot", None)
    again = fetch(broker.consume("default", prefetch=3), 3)
    assert sorted(delivery.message_id for delivery in again) == sorted(sent)

"""What is particular to the Redis broker: it waits on the server, in few calls, and its keys are Dramatiq's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import dramatiq
import pytest
import redis
from dramatiq import Worker
from dramatiq.message import Message

from chatbot import brokers
from chatbot.brokers.redis import RedisBroker
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import RedisServer
from tests.waiting import wait_until

NewRedis = Callable[..., RedisServer]


class House:
    """A broker on a Redis of its own, and a client that looks on."""

    def __init__(self, server: RedisServer, options: str = "") -> None:
        self.server = server
        self.client = redis.Redis.from_url(server.url)
        self.broker: Any = brokers.create(server.url + options, guarded_stack(MemoryStore()))

    @contextmanager
    def worker(self, threads: int = 1) -> Iterator[None]:
        worker = Worker(self.broker, worker_threads=threads)
        worker.start()
        try:
            yield
        finally:
            worker.stop()

    def calls(self, *commands: str) -> int:
        """Return how often clients sent these commands."""
        stats: dict[str, Any] = self.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in commands)

    def idle(self) -> None:
        """Wait until the consumer has waited in vain, as commands are counted when they end."""
        before = self.calls("blmove")
        wait_until(lambda: self.calls("blmove") > before)

    def keys(self) -> set[str]:
        """Return what is there but the marks of publications, which go by themselves within half a minute."""
        keys = {key.decode() for key in self.client.scan_iter()}
        marks = {key for key in keys if ":__sent__." in key}
        assert all(self.client.pttl(mark) <= 30_000 and self.client.pttl(mark) != -1 for mark in marks)
        return keys - marks


@pytest.fixture
def house(private_redis: NewRedis) -> Iterator[House]:
    house = House(private_redis())
    with closing(house.client):
        yield house
        house.broker.close()


# --- waiting ---
def test_an_idle_worker_starts_a_message_at_once(house: House) -> None:
    started: list[float] = []
    actor = declare(house.broker, lambda: started.append(time.monotonic()))
    delays = []
    with house.worker():
        for n in range(1, 4):
            house.idle()
            sent = time.monotonic()
            actor.send()
            wait_until(lambda n=n: len(started) == n)
            delays.append(started[-1] - sent)
    assert statistics.median(delays) < 0.25, delays


def test_an_idle_worker_asks_less_than_once_a_second_for_each_queue(house: House) -> None:
    for name in ("high", "default", "low"):
        declare(house.broker, print, actor_name=name, queue_name=name)
    commands = ("evalsha", "eval", "blmove", "blpop", "ping")
    with house.worker():
        house.idle()
        before, since = house.calls(*commands), time.monotonic()
        time.sleep(5)
        rate = (house.calls(*commands) - before) / (time.monotonic() - since)
    assert 0 < rate < 3


def test_delayed_messages_start_on_time_though_a_later_one_was_waited_for(house: House) -> None:
    late: list[float] = []
    actor = declare(house.broker, lambda due: late.append(time.time() - due))
    with house.worker():
        actor.send_with_options(args=(time.time() + 60,), delay=60_000)
        wait_until(lambda: house.client.zcard("dramatiq:default.delayed") == 1)
        for delay in (3_600, 2_000, 400):
            actor.send_with_options(args=(time.time() + delay / 1000,), delay=delay)
        wait_until(lambda: len(late) == 3)
    assert min(late) >= -0.001, late
    assert statistics.median(late) < 0.25, late


def test_a_short_socket_timeout_does_not_disturb_the_wait(private_redis: NewRedis, caplog: Any) -> None:
    calls: list[str] = []
    house = House(private_redis(), "?socket_timeout=1")
    actor = declare(house.broker, calls.append)
    with house.worker():
        house.idle()
        actor.send("hello")
        wait_until(lambda: calls)
    assert caplog.records == []
    house.client.close()
    house.broker.close()


# --- round trips ---
def test_a_batch_is_published_in_one_call(house: House) -> None:
    actor = declare(house.broker, print)
    actor.send(0)
    before = house.calls("evalsha", "eval")
    house.broker.enqueue_many([actor.message(n) for n in range(100)])
    assert house.calls("evalsha", "eval") == before + 1
    assert house.client.llen("dramatiq:default") == 101


def test_messages_are_fetched_in_batches(house: House) -> None:
    calls: list[int] = []
    actor = declare(house.broker, calls.append)
    house.broker.enqueue_many([actor.message(n) for n in range(200)])
    with house.worker(threads=8):
        wait_until(lambda: len(calls) == 200)
    # Each is acknowledged; a fetch for each would be as many calls again.
    assert house.calls("evalsha", "eval") < 200 + 100


def test_nothing_on_the_server_is_searched_for(house: House) -> None:
    calls: list[int] = []
    actor = declare(house.broker, calls.append)
    with house.worker():
        actor.send(1)
        actor.send_with_options(args=(2,), delay=10)
        wait_until(lambda: len(calls) == 2)
    assert house.calls("keys", "scan", "hscan", "sscan", "zscan", "hgetall") == 0


# --- keys ---
def test_a_producer_is_no_worker(house: House) -> None:
    actor = declare(house.broker, print)
    actor.send(1)
    actor.send_with_options(args=(2,), delay=60_000)
    assert house.keys() == {f"dramatiq:default{part}" for part in ("", ".msgs", ".DQ", ".DQ.msgs")}


def test_a_worker_that_stops_leaves_nothing_behind(house: House) -> None:
    calls: list[int] = []
    actor = declare(house.broker, calls.append)
    with house.worker():
        wait_until(lambda: house.client.zcard("dramatiq:__heartbeats__") == 1)
        actor.send(1)
        actor.send_with_options(args=(2,), delay=10)
        wait_until(lambda: len(calls) == 2)
    assert house.keys() <= {"dramatiq:__wake__"}


def test_what_plain_producers_left_while_nobody_worked_is_collected(house: House) -> None:
    calls: list[int] = []
    actor = declare(house.broker, calls.append)
    for number in range(3):
        actor.send_with_options(args=(number,), delay=300)
    assert house.client.llen("dramatiq:default.DQ") == 3
    with house.worker():
        wait_until(lambda: len(calls) == 3)
    assert house.broker.do_qsize("default") == 0


def test_messages_count_until_they_are_done_and_can_be_dropped(house: House) -> None:
    actor = declare(house.broker, print)
    actor.send(1)
    actor.send_with_options(args=(2,), delay=60_000)
    assert house.broker.do_qsize("default") == 2
    house.broker.flush("default")
    assert house.keys() == set()


def test_old_dead_letters_are_removed(private_redis: NewRedis) -> None:
    server = private_redis()
    broker = RedisBroker(url=server.url, middleware=[], heartbeat=0.1, dead_message_ttl=2_500)
    actor = dramatiq.actor(broker=broker)(print)
    actor.send(1)
    consumer: Any = broker.consume(actor.queue_name)
    consumer.nack(next(consumer))
    with closing(redis.Redis.from_url(server.url)) as client:
        assert client.hlen("dramatiq:default.XQ.msgs") == 1
        wait_until(lambda: not client.exists("dramatiq:default.XQ", "dramatiq:default.XQ.msgs"))
    consumer.close()
    broker.close()


# --- construction ---
def test_all_options_of_the_client_reach_it(house: House) -> None:
    broker = RedisBroker(url=house.server.url, middleware=[], client_name="me", socket_timeout=3)
    broker.ping()
    broker.client.ping()
    assert broker.client.client_getname() == "me"
    assert broker.client.connection_pool.connection_kwargs["socket_timeout"] == 3
    broker.close()


def test_a_broker_needs_no_url(house: House) -> None:
    given = RedisBroker(client=house.client, middleware=[])
    spelled = RedisBroker(host="127.0.0.1", port=house.server.port, middleware=[])
    for broker in (given, spelled):
        broker.ping()
        broker.declare_queue("default")
        broker.enqueue(Message(queue_name="default", actor_name="print", args=(), kwargs={}, options={}))
        broker.close()
    assert house.client.llen("dramatiq:default") == 2, "the client that was given is still open"


def test_a_user_with_rights_to_the_namespace_is_enough(house: House) -> None:
    house.client.acl_setuser(
        "bot", enabled=True, passwords=["+pw"], keys=["dramatiq", "dramatiq:*"],
        categories=["-@all", "+@read", "+@write", "+@scripting", "+@connection", "-@dangerous", "-@admin"],
        commands=["+time"],
    )  # fmt: skip
    broker: Any = brokers.create(house.server.url.replace("//", "//bot:pw@"), guarded_stack(MemoryStore()))
    calls: list[int] = []
    actor = declare(broker, calls.append)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    actor.send(1)
    actor.send_with_options(args=(2,), delay=100)
    wait_until(lambda: calls == [1, 2])
    worker.stop()
    broker.close()


def test_150_consumers_and_threads_have_a_connection_each(house: House) -> None:
    pool = house.broker.client.connection_pool
    held = [pool.get_connection() for _ in range(150)]
    assert len({id(connection) for connection in held}) == 150
    for connection in held:
        pool.release(connection)

"""What is particular to the Redis broker: it waits on the server, and strands nothing that it has fetched."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
import redis
from dramatiq import Worker
from dramatiq.errors import BrokerConnectionError
from dramatiq.message import Message

from chatbot import brokers
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
    def worker(self) -> Iterator[None]:
        worker = Worker(self.broker, worker_threads=1)
        worker.start()
        try:
            yield
        finally:
            worker.stop()

    def calls(self, *commands: str) -> int:
        """Return how often clients sent these commands."""
        stats: dict[str, Any] = self.client.info("commandstats")
        return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for command in commands)

    def idle_for_a_second(self) -> None:
        """Wait until both consumers have waited in vain, as commands are counted when they end."""
        before = self.calls("blmove")
        wait_until(lambda: self.calls("blmove") >= before + 2)


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
            house.idle_for_a_second()
            sent = time.monotonic()
            actor.send()
            wait_until(lambda n=n: len(started) == n)
            delays.append(started[-1] - sent)
    assert max(delays) < 0.25, delays


def test_an_idle_worker_asks_a_few_times_a_second(house: House) -> None:
    declare(house.broker, print)
    with house.worker():
        house.idle_for_a_second()
        before, since = house.calls("evalsha", "blmove"), time.monotonic()
        time.sleep(3)
        rate = (house.calls("evalsha", "blmove") - before) / (time.monotonic() - since)
    # Two lists, for each a wait of a second and a fetch that is the heartbeat.
    assert 0 < rate < 5


def test_a_short_socket_timeout_does_not_disturb_the_wait(private_redis: NewRedis, caplog: Any) -> None:
    calls: list[str] = []
    house = House(private_redis(), "?socket_timeout=0.4")
    actor = declare(house.broker, calls.append)
    with house.worker():
        house.idle_for_a_second()
        actor.send("hello")
        wait_until(lambda: calls, 1.5)
    assert "connection error" not in caplog.text
    house.client.close()
    house.broker.close()


# --- errors of the client ---
def test_every_command_of_a_server_that_hangs_raises_dramatiqs_own_error(private_redis: NewRedis) -> None:
    house = House(private_redis(), "?socket_timeout=0.1")
    actor = declare(house.broker, print)
    actor.send()
    consumer = house.broker.consume("default")
    fetched = next(consumer)
    house.server.pause()
    try:
        commands = [
            actor.send, lambda: consumer.ack(fetched), lambda: consumer.nack(fetched), lambda: next(consumer),
            lambda: consumer.requeue([fetched]), lambda: house.broker.consume("default.DQ"),
        ]  # fmt: skip
        for command in commands:
            with pytest.raises(BrokerConnectionError):
                command()
    finally:
        house.server.resume()
    house.client.close()
    house.broker.close()


# --- what has been fetched ---
def test_what_cannot_be_decoded_becomes_a_dead_letter_and_strands_nothing(house: House) -> None:
    calls: list[int] = []
    actor = declare(house.broker, calls.append)
    actor.send(1)
    house.client.hset("dramatiq:default.msgs", "poison", b"\x00 no message")
    house.client.rpush("dramatiq:default", "poison")
    actor.send(2)
    with house.worker():
        wait_until(lambda: len(calls) == 2, 2)
        wait_until(lambda: house.client.hkeys("dramatiq:default.XQ.msgs") == [b"poison"])
    assert house.client.hlen("dramatiq:default.msgs") == 0


def test_a_consumer_that_closes_puts_back_what_it_did_not_hand_out(house: House) -> None:
    actor = declare(house.broker, print)
    sent = [actor.send(n) for n in range(3)]
    consumer = house.broker.consume("default", prefetch=3)
    first: Message[Any] = next(consumer)
    consumer.close()
    assert first.message_id == sent[0].message_id
    assert house.client.llen("dramatiq:default") == 2


def test_a_consumer_of_delays_takes_over_what_its_predecessor_held(house: House) -> None:
    actor = declare(house.broker, print)
    sent = actor.send_with_options(delay=60_000)
    assert next(house.broker.consume("default.DQ")).message_id == sent.message_id
    assert next(house.broker.consume("default.DQ")).message_id == sent.message_id

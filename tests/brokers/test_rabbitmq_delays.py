"""Delays on RabbitMQ live on the server, on a ladder of queues, and workers only pass them on."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from dramatiq import Worker
from dramatiq.brokers.rabbitmq import RabbitmqBroker as StockRabbitmqBroker
from dramatiq.middleware import Middleware

from chatbot.brokers import rabbitmq_delays as delays
from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import RabbitmqServer
from tests.waiting import wait_until


class Hooks(Middleware):
    """Writes down what Dramatiq's documentation promises of delays."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def before_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        self.seen.append(("before_enqueue", message.queue_name.endswith(".DQ"), "eta" in message.options, delay))

    def after_enqueue(self, broker: Any, message: Any, delay: int | None) -> None:
        self.seen.append(("after_enqueue", delay))

    def before_delay_message(self, broker: Any, message: Any) -> None:
        self.seen.append(("before_delay_message", message.args))


class House:
    def __init__(self, server: RabbitmqServer) -> None:
        self.url, self.queue, self.hooks = server.url, f"delays-{uuid.uuid4().hex[:8]}", Hooks()
        middleware = [*guarded_stack(MemoryStore()), self.hooks]
        self.broker: Any = RabbitmqBroker(url=server.url, middleware=middleware, queue_type="classic")
        self.starts: list[tuple[int, float]] = []
        self.actor = declare(
            self.broker,
            lambda number: self.starts.append((number, time.time() * 1000)),
            actor_name="run",
            queue_name=self.queue,
        )

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        worker = Worker(self.broker, worker_threads=2)
        worker.start()
        try:
            yield
        finally:
            worker.stop()

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.url))) as connection:
            yield connection.channel()


@pytest.fixture
def house(rabbitmq_server: RabbitmqServer) -> Iterator[House]:
    house = House(rabbitmq_server)
    yield house
    house.broker.close()
    with house.channel() as channel:
        for name in (house.queue, f"{house.queue}.DQ", f"{house.queue}.XQ"):
            channel.queue_delete(name)


# --- the way through the ladder ---
def total(delay: int) -> int:
    """Return how many ms a message waits on its way."""
    exchange, key = delays.route(delay, "a.queue")
    *digits, first, second = key.split(".")
    assert (first, second) == ("a", "queue")
    assert len(digits) == delays.PLACES
    places = dict(zip(reversed(range(delays.PLACES)), map(int, digits), strict=True))
    assert exchange == f"chatbot.delay.{max(place for place, digit in places.items() if digit)}"
    return sum(digit * 4**place for place, digit in places.items())


@pytest.mark.parametrize("delay", [1, 3, 4, 500, 511, 512, 999, 2_047, 60_001, 86_400_000, delays.LONGEST])
def test_a_message_waits_as_long_as_it_is_to_and_hardly_longer(delay: int) -> None:
    assert delay <= total(delay) < delay + min(delay / 100 + 1, 16)


def test_no_queue_of_the_ladder_asks_for_more_than_the_server_can_count() -> None:
    assert 3 * 4 ** (delays.PLACES - 1) < 2**32


# --- on the server ---
def test_no_call_is_early_and_none_is_lost_or_repeated(house: House) -> None:
    due: dict[int, float] = {}
    with house.working():
        for number, delay in enumerate([1, 2, 5, 17, 63, 64, 255, 300, 511, 513, 777, 1_023, 1_300, 2_100]):
            due[number] = int(time.time() * 1000) + delay
            house.actor.send_with_options(args=(number,), delay=delay)
        wait_until(lambda: len(house.starts) >= len(due))
    assert sorted(number for number, _ in house.starts) == sorted(due)
    assert all(at >= due[number] for number, at in house.starts)


def test_a_call_may_be_due_at_once_or_have_been(house: House) -> None:
    house.actor.send_with_options(args=(1,), delay=0)
    house.actor.send_with_options(args=(2,), delay=-5)
    with house.working():
        wait_until(lambda: sorted(number for number, _ in house.starts) == [1, 2])


def test_a_delay_beyond_the_ladder_goes_round_until_its_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delays, "LONGEST", 255)
    due = int(time.time() * 1000) + 4_000
    house.actor.send_with_options(args=(1,), delay=4_000)
    with house.working():
        wait_until(lambda: house.starts)
    assert house.starts[0][1] >= due
    assert house.hooks.seen.count(("before_delay_message", (1,))) >= 2


def test_a_worker_holds_nothing_that_a_plain_producer_delays(house: House) -> None:
    plain = StockRabbitmqBroker(url=house.url, confirm_delivery=True, middleware=[])
    with house.working(), contextlib.closing(plain):
        due = int(time.time() * 1000) + 4_000
        plain.enqueue(house.actor.message(1), delay=4_000)
        wait_until(lambda: house.hooks.seen[-1:] == [("before_delay_message", (1,))])
        wait_until(lambda: house.broker.get_queue_message_counts(house.queue)[1] > 0)
        with house.channel() as channel:
            # Exclusive to nobody, and without an unacknowledged message: a purge and a deletion find it empty.
            assert channel.queue_declare(f"{house.queue}.DQ", passive=True).method.message_count == 0
        wait_until(lambda: house.starts)
    assert house.starts[0][1] >= due
    assert len(house.starts) == 1


def test_the_hooks_of_dramatiq_see_a_delayed_message_as_they_always_did(house: House) -> None:
    message = house.actor.send_with_options(args=(1,), delay=50)
    assert (message.queue_name, type(message.options["eta"])) == (f"{house.queue}.DQ", int)
    assert house.hooks.seen == [("before_enqueue", True, True, 50), ("after_enqueue", 50)]
    with house.working():
        wait_until(lambda: house.starts)


def test_what_was_delayed_for_a_queue_that_is_gone_is_kept(house: House) -> None:
    with house.channel() as channel:
        house.actor.send_with_options(args=(0,))  # declares the queues
        channel.queue_purge(delays.LOST)
        house.actor.send_with_options(args=(1,), delay=3_000)
        channel.queue_delete(house.queue)
        body = wait_until(lambda: channel.basic_get(delays.LOST, auto_ack=True)[2])
    assert house.queue.encode() in body

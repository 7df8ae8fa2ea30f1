"""A RabbitMQ that is short of memory takes no messages: publishers are told in time, and workers go on."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker as StockRabbitmqBroker
from dramatiq.errors import BrokerConnectionError

from tests.brokers.rabbitmq_house import House
from tests.brokers.rabbitmq_server import control
from tests.servers import RabbitmqServer
from tests.waiting import wait_until

PATIENCE = 2.5


@pytest.fixture
def house(rabbitmq_server: RabbitmqServer, tmp_path: Path) -> Iterator[House]:
    # Classic, so that plain Dramatiq can send there, too.
    with contextlib.closing(House(rabbitmq_server, tmp_path, queue_type="classic")) as house:
        yield house
        with house.broker.nodes.channel("clean") as channel:
            for name in (house.queue, f"{house.queue}.DQ", f"{house.queue}.XQ"):
                channel.queue_delete(name)


@pytest.fixture
def actor(house: House) -> Any:
    """The actor of a broker that has published before."""
    actor = house.declare(house.create(confirm_timeout=PATIENCE, retry_for=0.5))
    actor.send(0)
    return actor


@contextlib.contextmanager
def short_of_memory(server: RabbitmqServer) -> Iterator[None]:
    control(server, "set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        control(server, "set_vm_memory_high_watermark", "absolute", "256MB")


def assert_refused(send: Callable[[], Any]) -> None:
    """It is an error within the publisher's patience, which says why."""
    started = time.monotonic()
    with pytest.raises(BrokerConnectionError, match=r"takes no messages: low on memory"):
        send()
    assert time.monotonic() - started < PATIENCE + 3


def unacknowledged(house: House) -> int:
    """Return how many messages workers hold."""
    listed = control(house.server, "list_queues", "--silent", "name", "messages_unacknowledged")
    return next(int(count) for name, count in map(str.split, listed.splitlines()) if name == house.queue)


def test_a_blocked_publisher_is_told_why_in_time_and_goes_on_when_it_may(house: House, actor: Any) -> None:
    with short_of_memory(house.server):
        assert_refused(lambda: actor.send(1))  # the server has it in its hands, but says nothing
        assert_refused(lambda: actor.send(2))
        with pytest.raises(BrokerConnectionError):
            actor.broker.enqueue_many([actor.message(n) for n in range(3, 6)])
    actor.send(6)
    with house.working():
        wait_until(lambda: {0, 1, 6} <= set(house.runs()))
    assert house.runs() == {0: 1, 1: 1, 6: 1}, "what was never sent does not come later"


def test_workers_run_and_acknowledge_while_publishers_are_blocked(house: House, actor: Any) -> None:
    house.send(range(1, 20))
    with contextlib.closing(StockRabbitmqBroker(url=house.url, confirm_delivery=True, middleware=[])) as plain:
        plain.enqueue(actor.message(20), delay=1)
    with contextlib.ExitStack() as work:
        with short_of_memory(house.server):
            assert_refused(lambda: actor.send(21))
            work.enter_context(house.working())
            wait_until(lambda: set(range(20)) <= set(house.runs()))
            wait_until(lambda: unacknowledged(house) == 0, 30)
            assert 20 not in house.runs(), "a worker has to publish it again"
        wait_until(lambda: {20, 21} <= set(house.runs()))
    assert house.runs() == dict.fromkeys(range(22), 1)


@pytest.mark.long
def test_a_blocked_broker_can_be_closed(house: House, actor: Any) -> None:
    with short_of_memory(house.server):
        assert_refused(lambda: actor.send(1))
        started = time.monotonic()
        actor.broker.close()
        assert time.monotonic() - started < 8
        wait_until(lambda: not actor.broker.publisher.is_running())

"""A RabbitMQ cluster that loses the leader of a queue loses no message, and goes on within seconds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dramatiq.errors import BrokerConnectionError

from tests.brokers.rabbitmq_cluster import Cluster, ClusterNode
from tests.brokers.rabbitmq_house import House
from tests.brokers.rabbitmq_server import manage
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def leader(cluster: Cluster, queue_name: str) -> ClusterNode:
    """Return the node that leads the queue."""
    queue = manage(cluster.nodes[0], f"queues/%2F/{queue_name}")
    assert len(queue["members"]) == 3
    return next(node for node in cluster.nodes if node.name == queue["leader"])


def test_a_cluster_that_loses_its_leader_under_load_loses_no_confirmed_message(
    cluster: Cluster, tmp_path: Path
) -> None:
    house = House(cluster.nodes[0], tmp_path, urls=cluster.url)
    confirmed: dict[int, float] = {}
    due: dict[int, float] = {}
    stop = threading.Event()

    def produce(first: int) -> None:
        # Each one is a process of its own: some are connected to the node that dies.
        actor = house.declare(house.create(confirm_timeout=3))
        for number in range(first, first + 100_000):
            if stop.wait(0.03):
                return
            with contextlib.suppress(BrokerConnectionError):
                actor.send(number)
                confirmed[number] = time.monotonic()

    producers = [threading.Thread(target=produce, args=(n * 100_000,)) for n in range(1, 5)]
    with contextlib.closing(house), house.working():
        house.send(range(10))
        wait_until(lambda: len(house.runs()) == 10)
        victim = wait_until(lambda: leader(cluster, house.queue))
        try:
            for producer in producers:
                producer.start()
            wait_until(lambda: len(confirmed) > 50)
            for number in range(100, 120):
                due[number] = int(time.time() * 1000) + 200 * (number - 99)
                house.actor.send_with_options(args=(number,), delay=200 * (number - 99))
            victim.kill()
            killed = time.monotonic()
            resumed = [wait_until(lambda n=n: first_after(confirmed, killed, n), 30) for n in range(1, 5)]
            wait_until(lambda: len([at for at in confirmed.values() if at > max(resumed)]) > 200, 30)
        finally:
            stop.set()
            for producer in producers:
                producer.join()
        victim.start()
        wait_until(lambda: set(confirmed) | set(due) <= set(house.runs()), 60)
    starts = house.times()
    assert all(starts[number] * 1000 >= at - 1 for number, at in due.items())
    assert max(resumed) - killed < 10
    again = [number for number, count in house.runs().items() if count > 1]
    # What ran when the leader died was not acknowledged yet; what came before it was.
    assert [number for number in again if confirmed.get(number, killed) < killed - 2] == []


def first_after(confirmed: dict[int, float], killed: float, producer: int) -> float | None:
    """Return when something of one producer was confirmed for the first time after the kill."""
    times = [at for number, at in confirmed.copy().items() if at > killed and number // 100_000 == producer]
    return min(times, default=None)

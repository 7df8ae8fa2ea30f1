"""A store or a broker that is away at a tick: the scheduler lives on, and the tick is published when it is back."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from dramatiq.errors import BrokerConnectionError

from chatbot.errors import StoreUnavailable
from tests.scheduling.hosts import NOON, Cluster, Host, minutes
from tests.servers import PrivateServer, RedisServer
from tests.waiting import wait_until


@pytest.fixture
def store_server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture(params=["private_redis", pytest.param("private_rabbitmq", marks=pytest.mark.long)])
def broker_server(request: pytest.FixtureRequest) -> PrivateServer:
    """A broker of either kind that the test may kill."""
    server: PrivateServer = request.getfixturevalue(request.param)()
    return server


@contextmanager
def scheduling(host: Host) -> Iterator[threading.Thread]:
    """Let the host's scheduler run."""
    stop = threading.Event()
    thread = threading.Thread(target=host.scheduler.run, args=(stop,))
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


def before_the_tick(cluster: Cluster, seconds: float) -> Host:
    """Return a host that knows its actor, and whose real clock is so many seconds before the tick of 12:01."""
    cluster.host().scheduler.step()
    ahead = NOON + 60 - seconds - time.time()
    return cluster.host(clock=lambda: time.time() + ahead)


def test_a_broker_that_is_down_at_the_tick_gets_it_when_it_is_back(
    broker_server: PrivateServer,
    redis_server: RedisServer,
    clusters: Callable[[str, str], Cluster],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = clusters(redis_server.url, broker_server.url)
    host = before_the_tick(cluster, 0.5)
    broker_server.kill()
    with scheduling(host) as thread:
        wait_until(lambda: "trying again" in caplog.text, 15)
        broker_server.start()
        wait_until(lambda: cluster.ledger.published, 30)
        assert thread.is_alive()
    assert cluster.ledger.published == minutes(1)
    host.work(lambda: bool(cluster.ledger.runs))
    assert cluster.ledger.runs == minutes(1)


def test_a_scheduler_whose_broker_is_unreachable_leaves_the_tick_to_the_others_at_once(
    private_redis: Callable[..., RedisServer], redis_server: RedisServer, clusters: Callable[[str, str], Cluster]
) -> None:
    cut_off = private_redis()
    cluster = clusters(redis_server.url, cut_off.url)
    lonely = cluster.host()
    cluster.broker_url = redis_server.url
    other = cluster.host()
    for host in (lonely, other):
        host.scheduler.step()
    cut_off.kill()
    cluster.clock.advance(60)
    with pytest.raises(BrokerConnectionError):
        lonely.scheduler.step()
    assert other.scheduler.step() == 60
    assert lonely.scheduler.step() == 60
    assert cluster.ledger.published == minutes(1)


def test_a_store_that_is_down_at_the_tick_does_not_cost_it(
    store_server: RedisServer,
    redis_server: RedisServer,
    clusters: Callable[[str, str], Cluster],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = clusters(store_server.url, redis_server.url)
    host = before_the_tick(cluster, 0.5)
    store_server.kill()
    with scheduling(host) as thread:
        wait_until(lambda: "trying again" in caplog.text, 15)
        assert cluster.ledger.published == []
        store_server.start()
        wait_until(lambda: cluster.ledger.published, 30)
        assert thread.is_alive()
    assert cluster.ledger.published == minutes(1)


def test_a_store_that_fails_after_the_publication_does_not_repeat_it(
    store_server: RedisServer, redis_server: RedisServer, clusters: Callable[[str, str], Cluster]
) -> None:
    cluster = clusters(store_server.url, redis_server.url)
    host = cluster.host()
    host.scheduler.step()
    cluster.clock.advance(60)
    settle, host.store.settle = host.store.settle, lambda *_: store_server.kill() or settle(*_)  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        host.scheduler.step()
    host.store.settle = settle  # type: ignore[method-assign]
    store_server.start()
    assert host.scheduler.step() == 60
    assert cluster.ledger.published == minutes(1)


def test_a_tick_is_given_up_when_it_is_older_than_the_horizon(
    store_server: RedisServer, redis_server: RedisServer, clusters: Callable[[str, str], Cluster]
) -> None:
    cluster = clusters(store_server.url, redis_server.url)
    host = cluster.host(spec="1 12 * * *")
    host.scheduler.step()
    store_server.kill()
    for _ in range(2):
        cluster.clock.advance(60)
        with pytest.raises(StoreUnavailable):
            host.scheduler.step()
    cluster.clock.advance(3600)
    store_server.start()
    assert host.scheduler.step() == 60
    assert cluster.ledger.published == []

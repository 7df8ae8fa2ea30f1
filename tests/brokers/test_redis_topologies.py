"""More than one server, and TLS: a Sentinel that promotes a replica, and a cluster of three masters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import redis
from dramatiq import Worker

from chatbot import brokers
from chatbot.brokers.redis import RedisBroker
from chatbot.brokers.redis_clients import create_client
from chatbot.errors import ConfigurationError
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.brokers.redis_crew import Crew
from tests.servers import RedisServer, find_valkey
from tests.topologies import CLUSTERED, MASTER, Cluster, SentinelServer, encrypted
from tests.waiting import wait_until

NewRedis = Callable[..., RedisServer]
NewCrew = Callable[[str], Crew]


@pytest.fixture
def team(tmp_path: Path) -> Iterator[NewCrew]:
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(Crew(url, tmp_path))


# --- URLs ---
def test_a_sentinel_url_names_sentinels_service_and_database() -> None:
    client = create_client(
        "redis+sentinel://me:p%40ss@one:1,two,[::1]:3,[::2]/main/5?socket_timeout=9&sentinel_password=other&ssl=true"
    )
    pool = client.connection_pool
    nodes = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert [(node["host"], node["port"]) for node in nodes] == [
        ("one", 1),
        ("two", 26_379),
        ("::1", 3),
        ("::2", 26_379),
    ]
    assert {node["password"] for node in nodes} == {"other"}
    wanted = {"username": "me", "password": "p@ss", "db": 5, "socket_timeout": 9}
    assert pool.connection_kwargs.items() >= wanted.items()
    assert (pool.service_name, pool.connection_class.__name__) == ("main", "SentinelManagedSSLConnection")


def test_what_a_caller_wants_precedes_a_sentinel_url_and_that_what_is_usual() -> None:
    pool = create_client("redis+sentinel://one/main?socket_timeout=9", socket_connect_timeout=7).connection_pool
    assert (pool.connection_kwargs["socket_timeout"], pool.connection_kwargs["socket_connect_timeout"]) == (9, 7)
    pool = create_client("redis+sentinel://one/main?socket_timeout=9", socket_timeout=3).connection_pool
    assert pool.connection_kwargs["socket_timeout"] == 3


@pytest.mark.parametrize(
    "url", ["redis://me:s3cret/x@host:1/?cluster=true", "redis://me:s3cret@h\u2100st/?cluster=true"]
)
def test_a_cluster_url_that_cannot_be_read_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_client(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "rest", ["host:1", "/main", "host:port/main", "me:s3cret@host:1/main?no_such_option=1", "me:s3cret@host"]
)
def test_a_sentinel_url_that_cannot_be_read_is_an_error_without_its_password(rest: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        brokers.create(f"redis+sentinel://{rest}", [])
    assert "s3cret" not in str(caught.value)


def test_a_cluster_gets_a_namespace_with_a_tag_and_is_not_asked_for_its_nodes_yet() -> None:
    url = "redis://127.0.0.1:1/?cluster=true"
    assert RedisBroker(url=url, middleware=[]).namespace == "{dramatiq}"
    assert RedisBroker(url=url, middleware=[], namespace="my{tag}").namespace == "my{tag}"


# --- TLS ---
@pytest.mark.long
def test_a_broker_works_over_tls(private_redis: NewRedis, tmp_path: Path) -> None:
    url = encrypted(private_redis, tmp_path)
    calls: list[int] = []
    broker = brokers.create(url, guarded_stack(MemoryStore()))
    actor = declare(broker, calls.append)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    actor.send(1)
    actor.send_with_options(args=(2,), delay=100)
    wait_until(lambda: calls == [1, 2])
    worker.stop()
    broker.close()


# --- Sentinel ---
@pytest.fixture
def master(private_redis: NewRedis) -> RedisServer:
    return private_redis(None, *MASTER)


@pytest.fixture
def replica(master: RedisServer, private_redis: NewRedis) -> RedisServer:
    return private_redis(None, "--replicaof", "127.0.0.1", str(master.port))


@pytest.fixture
def sentinel(master: RedisServer, replica: RedisServer) -> Iterator[SentinelServer]:
    with ExitStack() as stack:
        server = SentinelServer(master)
        stack.enter_context(server)
        server.wait_for_a_replica()
        yield server


@pytest.mark.long
def test_a_fail_over_loses_nothing_and_work_goes_on(
    master: RedisServer, replica: RedisServer, sentinel: SentinelServer, team: NewCrew
) -> None:
    crew = team(sentinel.url)
    numbers = itertools.count()
    crew.hire()
    crew.hire()
    for _ in range(20):
        crew.send(next(numbers), ms=300)
    for _ in range(20):
        crew.send(next(numbers), delay=6_000)
    with closing(redis.Redis.from_url(master.url)) as client:
        assert client.wait(1, 5_000) == 1
    master.kill()
    sent = iter(numbers)

    def answers() -> bool:
        try:
            crew.send(next(sent))
        except Exception:
            return False
        return True

    wait_until(answers, 20)
    for _ in range(20):
        crew.send(next(sent))
    wait_until(crew.done, 30)
    assert crew.journal.run_after_acknowledgement() == set()


# --- a cluster ---
@pytest.fixture(params=["redis", "valkey"])
def cluster(request: pytest.FixtureRequest, private_redis: NewRedis) -> Cluster:
    binary = find_valkey() if request.param == "valkey" else None
    return Cluster([private_redis(binary, *CLUSTERED) for _ in range(3)])


@pytest.mark.long
def test_a_cluster_runs_calls_batches_delays_and_retries(cluster: Cluster) -> None:
    calls: list[int] = []

    def fail_once(number: int) -> None:
        calls.append(number)
        if calls.count(number) == 1 and number == 7:
            raise RuntimeError("again")

    broker = brokers.create(cluster.url, guarded_stack(MemoryStore()))
    broker.ping()
    actor = declare(broker, fail_once, min_backoff=1, max_backoff=5)
    worker = Worker(broker, worker_threads=2, worker_timeout=100)
    worker.start()
    actor.send(0)
    actor.send_with_options(args=(1,), delay=300)
    broker.enqueue_many([actor.message(n) for n in range(2, 10)])
    wait_until(lambda: sorted(calls) == [0, 1, 2, 3, 4, 5, 6, 7, 7, 8, 9])
    worker.stop()
    broker.close()


@pytest.mark.long
def test_a_cluster_whose_master_is_killed_and_comes_back_loses_nothing(cluster: Cluster, team: NewCrew) -> None:
    crew = team(cluster.url)
    crew.hire()
    crew.hire()
    for number in range(40):
        crew.send(number, ms=100)
    for number in range(40, 60):
        crew.send(number, delay=3_000)
    owner = cluster.owner("{dramatiq}")
    owner.kill()
    owner.start()
    wait_until(crew.done, 40)
    assert crew.journal.run_after_acknowledgement() == set()

"""More than one server: URLs, clusters, a fail-over by Sentinels, and answers that wait for replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
import redis

from chatbot import stores
from chatbot.errors import ConfigurationError, StoreUnavailable
from chatbot.stores.bell import Bell
from chatbot.stores.clients import find, is_cluster
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import Offer, Window
from tests.servers import RedisServer, find_valkey
from tests.topologies import CLUSTERED, MASTER, Cluster, SentinelServer, cluster
from tests.waiting import wait_until

NewRedis = Callable[..., RedisServer]
URGENT = Window(wait=0, max_wait=0)
KEYS = [f"turn/{n}" for n in range(60)]


def offer(store: RedisStore, item_id: str, *keys: str) -> list[str]:
    """Offer one item to each of these keys."""
    items = [Offer(key=key, item_id=item_id, body=b"body", window=URGENT) for key in keys]
    return [answer.verdict for answer in store.offer(items)]


def accepted(store: RedisStore, item_id: str, *keys: str) -> bool:
    """Say whether the store answers an offer."""
    try:
        offer(store, item_id, *keys)
    except StoreUnavailable:
        return False
    return True


def held(store: RedisStore) -> set[tuple[str, str]]:
    """Take all that is due; return every (key, item id) that is in these turns."""
    found = set()
    for check in store.take_due(1_000, 5_000, 30_000).checks:
        found |= {(check.key, entry.digest) for entry in store.begin(check, "w1", 5_000).entries}
    return found


# --- URLs ---
def test_a_sentinel_url_names_sentinels_service_and_database() -> None:
    servers = find("redis+sentinel://me:p%40ss@one:1,two,[::1]:3,[::2]/main/5?socket_timeout=9&sentinel_password=other")
    pool = servers.client.connection_pool
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
    assert pool.service_name == "main"


@pytest.mark.parametrize("url", ["foo://me:s3cret@h", "redis:me:s3cret@h", "REDIS+CLUSTER://me:s3cret@h", "s3cret"])
def test_a_url_of_no_store_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CHATBOT_STORE_URL cannot be used") as caught:
        stores.create(url)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "clustered"),
    [
        ("redis://h/", False),
        ("redis://h/?cluster=true", True),
        ("rediss://h:1/0?cluster=yes", True),
        ("redis+cluster://h:1,h:2", True),
        ("rediss+cluster://me:pass@h:1", True),
        ("redis+sentinel://h/main?cluster=no", False),
    ],
)
def test_a_url_says_whether_it_is_a_clusters(url: str, clustered: bool) -> None:
    assert is_cluster(url) is clustered


def test_a_cluster_begins_with_64_partitions_and_is_not_asked_for_its_nodes_yet() -> None:
    for url in ("redis+cluster://127.0.0.1:1,127.0.0.1:2", "redis://127.0.0.1:1/?cluster=true"):
        store = stores.create(url)
        assert isinstance(store, RedisStore)
        assert store.partitions == 64
        with pytest.raises(StoreUnavailable):
            store.ping()
        store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://host:1",
        "redis+sentinel:///main",
        "redis+sentinel://host:port/main",
        "redis+sentinel://me:s3cret@host:1/main?no_such_option=1",
        "redis+cluster://me:s3cret@host:port",
        "redis+cluster://me:s3cret@",
        "redis+cluster://me:s3cret@host/3",
        "redis+cluster://me:s3cret@host?no_such_option=1",
        "redis://me:s3cret@host:port",
        "redis://me:s3cret@host?no_such_option=1",
        "unix:///tmp/socket?cluster=true",
    ],
)
def test_a_url_that_cannot_be_read_is_an_error_without_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CHATBOT_STORE_URL") as caught:
        stores.create(url)
    assert "s3cret" not in str(caught.value)


def test_a_cluster_that_is_a_single_server_is_refused(redis_server: RedisServer) -> None:
    url = f"redis+cluster://127.0.0.1:{redis_server.port}"
    with closing(RedisStore(url)) as store, pytest.raises(ConfigurationError, match="finds a single server"):
        store.check()


# --- a cluster ---
@pytest.fixture(scope="module")
def masters() -> Iterator[Cluster]:
    with cluster() as found:
        yield found


@pytest.fixture
def clustered(masters: Cluster) -> Iterator[RedisStore]:
    """A store on an empty cluster."""
    with closing(RedisStore(masters.url)) as store:
        store.client.flushall(target_nodes="primaries")
        yield store


@pytest.mark.long
def test_every_master_of_a_cluster_has_partitions_and_a_batch_reaches_all(clustered: RedisStore) -> None:
    clustered.check()
    assert offer(clustered, "1", *KEYS) == ["opened"] * len(KEYS)
    sizes = [node.dbsize() for node in clustered.servers()]
    assert len(sizes) == 3
    assert min(sizes) > 0
    checks = clustered.take_due(1_000, 5_000, 30_000).checks
    assert {check.key for check in checks} == set(KEYS)
    assert clustered.handed_over(checks, 30_000) == [True] * len(KEYS)
    assert sum(part.open for part in clustered.survey()) == len(KEYS)


@pytest.mark.long
def test_a_node_of_a_cluster_under_a_url_of_one_server_is_refused(masters: Cluster) -> None:
    with closing(RedisStore(masters.nodes[0].url)) as store, pytest.raises(ConfigurationError, match="cluster"):
        store.check()


@pytest.mark.long
def test_scripts_that_one_node_forgot_are_told_again(clustered: RedisStore, masters: Cluster) -> None:
    offer(clustered, "1", *KEYS)
    with closing(redis.Redis(port=masters.nodes[1].port)) as node:
        node.script_flush()
    assert offer(clustered, "1", *KEYS) == ["duplicate"] * len(KEYS)


@pytest.mark.long
def test_a_sleeping_pump_hears_of_every_partition(clustered: RedisStore) -> None:
    with closing(Bell(clustered._servers, "chatbot:wake")) as bell:
        ledger = clustered._ledger
        first_of_its_partition = {ledger.of(key): key for key in reversed(KEYS)}
        assert len(first_of_its_partition) > 30
        for key in first_of_its_partition.values():
            assert bell.sleep(0.02) is False
            offer(clustered, "1", key)
            assert bell.sleep(1) is True
        clustered.wake()
        assert bell.sleep(1) is True


@pytest.mark.long
def test_a_sleeping_pump_sleeps_on_after_its_node_was_killed(private_redis: NewRedis) -> None:
    found = Cluster([private_redis(None, *CLUSTERED) for _ in range(3)])
    with closing(RedisStore(found.url)) as store:
        store.sleep(1)
        for node in found.nodes:
            node.kill()
        with pytest.raises(StoreUnavailable):
            store.sleep(1_000)
        for node in found.nodes:
            node.start()
        wait_until(lambda: accepted(store, "1", *KEYS), 20)
        store.sleep(1)


@pytest.mark.long
def test_slots_that_have_moved_are_found_again(clustered: RedisStore, masters: Cluster) -> None:
    """What is asked of a node that has handed over its slots is asked of the one that has them now."""
    offer(clustered, "1", "turn/a")
    nodes, tag = clustered.client.nodes_manager, clustered._ledger.tags[clustered._ledger.of("turn/a")]
    slot = clustered.client.keyslot(tag)
    right = nodes.slots_cache[slot]
    nodes.slots_cache[slot] = [node for node in clustered.client.get_primaries() if node != right[0]]
    assert offer(clustered, "1", "turn/a") == ["duplicate"]
    assert nodes.slots_cache[slot][0].name == right[0].name


@pytest.mark.long
def test_while_a_master_is_away_the_others_go_on_and_nothing_is_lost(private_redis: NewRedis) -> None:
    options = (*CLUSTERED, "--cluster-require-full-coverage", "no")
    found = Cluster([private_redis(None, *options) for _ in range(3)])
    with closing(RedisStore(found.url)) as store:
        offer(store, "1", *KEYS)
        lost = found.nodes[2]
        away = {key for key in KEYS if found.owner(store._ledger.tags[store._ledger.of(key)]) is lost}
        assert 0 < len(away) < len(KEYS)
        lost.kill()
        with pytest.raises(StoreUnavailable):
            offer(store, "2", *KEYS)
        assert {key for key, _ in held(store)} == set(KEYS) - away
        lost.start()
        wait_until(lambda: accepted(store, "2", *KEYS), 20)
        assert {key for key, _ in held(store)} == away
        assert offer(store, "1", *KEYS) == offer(store, "2", *KEYS) == ["duplicate"] * len(KEYS)


@pytest.mark.long
def test_a_fail_over_in_a_cluster_loses_nothing_that_was_answered(private_redis: NewRedis) -> None:
    found = Cluster([private_redis(None, *CLUSTERED, *MASTER) for _ in range(3)])
    for master in list(found.nodes):
        found.add_replica(master, private_redis(None, *CLUSTERED))
    with closing(RedisStore(found.url, replicas=1)) as store, closing(RedisStore(found.url)) as after:
        after.check()
        answered = [str(n) for n in range(50) if offer(store, str(n), *KEYS)]
        found.nodes[0].kill()
        wait_until(lambda: accepted(after, "new", *KEYS), 30)
        for n in answered:
            assert offer(after, n, *KEYS) == ["duplicate"] * len(KEYS)


# --- a master and its replicas ---
@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.long)])
def binary(request: pytest.FixtureRequest) -> str | None:
    return find_valkey() if request.param == "valkey" else None


@pytest.fixture
def master(private_redis: NewRedis, binary: str | None) -> RedisServer:
    return private_redis(binary, *MASTER)


@pytest.fixture
def replica(master: RedisServer, private_redis: NewRedis, binary: str | None) -> RedisServer:
    server = private_redis(binary, "--replicaof", "127.0.0.1", str(master.port))
    with closing(redis.Redis(port=server.port)) as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", 30)
    return server


@contextmanager
def paused(server: RedisServer) -> Iterator[None]:
    """Freeze a server."""
    server.pause()
    try:
        yield
    finally:
        server.resume()


def test_what_no_replica_has_is_not_answered_and_not_even_when_it_is_repeated(
    master: RedisServer, replica: RedisServer
) -> None:
    with closing(RedisStore(master.url, replicas=1)) as store, closing(RedisStore(master.url, replicas=1)) as other:
        assert offer(store, "1", "turn/a") == ["opened"]
        assert store.claim("s:x", "m1", 10_000).verdict == "new"
        with paused(replica):
            with pytest.raises(StoreUnavailable, match="0 of 1 replicas"):
                offer(store, "2", "turn/a")
            # It is in the master, and nothing is written: yet nobody must be told that it is safe.
            with pytest.raises(StoreUnavailable):
                offer(other, "2", "turn/a")
            with pytest.raises(StoreUnavailable):
                store.claim("s:y", "m1", 10_000)
        assert offer(store, "2", "turn/a") == ["duplicate"]
        assert store.claim("s:y", "m1", 10_000).verdict == "mine"


@pytest.mark.long
def test_a_fail_over_by_sentinels_loses_nothing_that_was_answered(master: RedisServer, replica: RedisServer) -> None:
    with ExitStack() as stack:
        sentinel = SentinelServer(master)
        stack.enter_context(sentinel)
        sentinel.wait_for_a_replica()
        store = stack.enter_context(closing(RedisStore(sentinel.url, replicas=1)))
        after = stack.enter_context(closing(RedisStore(sentinel.url)))
        store.check()
        offer(after, "first", "turn/a")  # its connection is to the first master
        answered = [str(n) for n in range(300) if offer(store, str(n), *KEYS[:5])]
        master.kill()
        assert not accepted(store, "late", "turn/a")
        wait_until(lambda: accepted(after, "new", "turn/a"), 20)
        for n in answered:
            assert offer(after, n, *KEYS[:5]) == ["duplicate"] * 5

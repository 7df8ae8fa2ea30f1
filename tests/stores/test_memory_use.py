"""The ledger is small in the server's memory: what it costs to remember an id, and to keep a window open.

The server says what it has allocated, so these are sizes, not timings. Its tables grow by doubling: the counts
nearly fill theirs, as a million ids do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from chatbot.stores.redis import RedisStore
from chatbot.stores.values import Offer, Window
from tests.servers import RedisServer, find_redis, find_valkey
from tests.waiting import wait_until

IDS = 16_000
WINDOWS = 1_700
#: Bytes. A short message, as it lies in the ledger.
BODY = b"x" * 60


@pytest.fixture(params=[find_redis, find_valkey], ids=["redis", "valkey"])
def store(request: pytest.FixtureRequest, private_redis: Callable[..., RedisServer]) -> Iterator[RedisStore]:
    """A server for this test alone, which has done everything once, and keeps no log of slow calls in memory."""
    server = private_redis(request.param(), "--slowlog-max-len", "0")
    with closing(RedisStore(server.url)) as store:
        remember(store, range(500))
        store.client.delete(*ids(store))
        yield store


def allocated(store: RedisStore) -> int:
    """Return how many bytes the server has allocated."""
    store.client.connection_pool.disconnect()  # the buffer of a connection that sent much is not the ledger's
    return int(store.client.memory_stats()["total.allocated"])


def offer(store: RedisStore, keys: list[str], names: range, **policy: int) -> None:
    window = Window(**{"wait": 3_600_000, "max_wait": 3_600_000, **policy})
    offers = [Offer(key=key, item_id=f"wamid.{name}", body=BODY, window=window) for key in keys for name in names]
    assert {answer.verdict for answer in store.offer(offers)} <= {"opened", "joined", "full"}


def remember(store: RedisStore, names: range) -> None:
    """Bring items through their whole life, so that nothing but their ids is left."""
    offer(store, ["turn/a"], names, wait=0, max_items=1_000, max_bytes=1 << 20)
    for check in store.take_due(10, 5_000, 30_000).checks:
        store.begin(check, "w", 5_000)
        assert store.finish(check, "w", "ok", result_ttl=1) == "settled"
    wait_until(lambda: not list(store.client.scan_iter("*}[re]:*", count=100_000)))


def ids(store: RedisStore) -> list[bytes]:
    return list(store.client.scan_iter("*}i:*", count=100_000))


def test_a_remembered_id_takes_at_most_130_bytes(store: RedisStore) -> None:
    before = allocated(store)
    for start in range(0, IDS, 500):
        remember(store, range(start, start + 500))
    assert len(ids(store)) == IDS
    assert (allocated(store) - before) / IDS <= 130


def test_an_open_window_of_five_short_messages_takes_at_most_1200_bytes_and_its_ids(store: RedisStore) -> None:
    before = allocated(store)
    for start in range(0, WINDOWS, 50):
        offer(store, [f"process_turn/generic:conversation-{n:06}" for n in range(start, start + 50)], range(5))
        store.client.delete(*ids(store))
    assert (allocated(store) - before) / WINDOWS <= 1.2 * 1024

"""What is swept partition by partition, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chatbot.stores.base import Offer, Window
from chatbot.stores.redis import RedisStore
from tests.servers import RedisServer

WINDOW = Window(wait=20_000, max_wait=100_000)
KEYS = [f"turn/{n}" for n in range(40)]


@pytest.fixture
def stores(redis_server: RedisServer) -> Iterator[tuple[RedisStore, RedisStore]]:
    """Two stores on one server, whose namespaces a careless pattern would confuse."""
    redis_server.flush()
    pair = RedisStore(redis_server.url, namespace="a*", partitions=4), RedisStore(redis_server.url, namespace="ab")
    yield pair
    redis_server.flush()
    for store in pair:
        store.close()


def fill(store: RedisStore) -> None:
    store.offer([Offer(key=key, item_id="1", body=b"", window=WINDOW) for key in KEYS])


def test_a_pass_goes_through_every_partition_of_this_namespace_only(stores: tuple[RedisStore, RedisStore]) -> None:
    ours, theirs = stores
    for store in stores:
        fill(store)
        store.client.delete(*store.client.keys("*}due"))
    cursor, seen, mended = "", 0, 0
    while True:
        step = ours.mend(cursor, 10)
        cursor, seen, mended = step.cursor, seen + step.seen, mended + step.mended
        if not cursor:
            break
    assert (seen, mended) == (40, 40)
    assert all(ours.inspect(key).due_in is not None for key in KEYS)
    assert all(theirs.inspect(key).due_in is None for key in KEYS)


def test_a_survey_counts_every_partition(stores: tuple[RedisStore, RedisStore]) -> None:
    ours, _ = stores
    fill(ours)
    counts = [part.open for part in ours.survey()]
    assert len(counts) == 4
    assert sum(counts) == 40
    assert min(counts) > 0

"""What is swept partition by partition, and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from chatbot.service import build
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import Offer, Window
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


@pytest.mark.parametrize(("variables", "partitions"), [({}, 1), ({"CHATBOT_STORE_PARTITIONS": "8"}, 8)])
def test_the_number_of_partitions_is_configuration(variables: dict[str, str], partitions: int) -> None:
    url = "redis://127.0.0.1:1/0"
    chosen = {
        "CHATBOT_STORE_URL": url,
        "CHATBOT_BROKER_URL": url,
        "CHATBOT_GENERIC_SECRET": "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
        "CHATBOT_GENERIC_OUTBOUND_URL": "http://127.0.0.1:1/replies",
    }
    with closing(build({**chosen, **variables})) as service:
        assert isinstance(service.store, RedisStore)
        assert service.store.partitions == partitions


def test_a_take_is_shared_among_the_partitions(stores: tuple[RedisStore, RedisStore]) -> None:
    """A pump publishes within its publish lease what it took, from however many partitions."""
    ours, _ = stores
    ours.offer([Offer(key=key, item_id="1", body=b"", window=Window(wait=0, max_wait=0)) for key in KEYS])
    taken: set[str] = set()
    while checks := ours.take_due(8, 5_000, 30_000).checks:
        assert len(checks) <= 8
        taken |= {check.key for check in checks}
    assert taken == set(KEYS)

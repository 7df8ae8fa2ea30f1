"""A cluster on real servers, for every test of the scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.scheduling.hosts import Cluster
from tests.servers import RedisServer


@pytest.fixture
def clusters() -> Iterator[Callable[[str, str], Cluster]]:
    """Makes clusters of a store's and a broker's URL."""
    made: list[Cluster] = []

    def make(store_url: str, broker_url: str) -> Cluster:
        made.append(Cluster(store_url, broker_url))
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()


@pytest.fixture
def cluster(redis_server: RedisServer, clusters: Callable[[str, str], Cluster]) -> Cluster:
    """One Redis is store and broker."""
    return clusters(redis_server.url, redis_server.url)

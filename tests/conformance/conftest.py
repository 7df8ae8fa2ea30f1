"""Fixtures of the conformance suites: every test runs once per store, or once per broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.broker_harness import BROKERS, Transport
from tests.conformance.ledgers import CLUSTER_LEDGERS, LEDGERS, Ledger
from tests.servers import find_valkey
from tests.topologies import Cluster, cluster

LONG = [pytest.param(name, marks=pytest.mark.long) for name in CLUSTER_LEDGERS]


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[Cluster]:
    """Three masters for all tests."""
    with cluster() as found:
        yield found


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[Cluster]:
    """Three masters of Valkey for all tests."""
    with cluster(find_valkey()) as found:
        yield found


@pytest.fixture(params=[*LEDGERS, *LONG])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An empty ledger. Whatever a test does to it, no key may be left without a time to live."""
    ledger = {**LEDGERS, **CLUSTER_LEDGERS}[request.param](request)
    yield ledger
    immortal = ledger.immortal()
    ledger.close()
    assert immortal == [], "keys without a time to live"


@pytest.fixture(params=BROKERS)
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """A broker's server, with queues for this test alone."""
    transport = BROKERS[request.param](request)
    yield transport
    transport.close()

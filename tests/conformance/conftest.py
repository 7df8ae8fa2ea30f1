"""Fixtures of the conformance suites: every test runs once per store, or once per broker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.broker_harness import BROKERS, Transport
from tests.conformance.ledgers import LEDGERS, Ledger


@pytest.fixture(params=LEDGERS)
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """An empty ledger. Whatever a test does to it, no key may be left without a time to live."""
    ledger = LEDGERS[request.param](request)
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

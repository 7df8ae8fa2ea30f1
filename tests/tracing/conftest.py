"""A collector, and deployments on both brokers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import broker_kind, deploy
from tests.tracing.collector import Collector, collecting

__all__ = ["broker_kind", "collector", "deploy"]


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running

"""A house whose guards and workers are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from prometheus_client import generate_latest

from chatbot.metrics.counting import Counting
from chatbot.metrics.meters import Meters
from chatbot.middleware import guarded_stack
from tests.metrics.reading import Numbers
from tests.middleware.running import House, TroubledStore, memory_house


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def numbers(meters: Meters) -> Callable[[], Numbers]:
    return lambda: Numbers(generate_latest(meters.registry()).decode())


@pytest.fixture
def house(meters: Meters) -> Iterator[House]:
    store, counting = TroubledStore(), Counting(meters)
    made = memory_house(store, [counting, *guarded_stack(store, again=5_000, observers=[counting])])
    yield made
    made.close()

"""Houses for the guards: `house` is one in this process and one on a Redis, `memory` only the first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chatbot.brokers.redis import RedisBroker
from chatbot.middleware import guarded_stack
from chatbot.stores.redis import RedisStore
from tests.middleware.running import NUMBERS, House, memory_house


@pytest.fixture
def new_house() -> Iterator[Callable[..., House]]:
    """Makes houses in this process; see memory_house."""
    with ExitStack() as houses:

        def make(*args: Any, **kwargs: Any) -> House:
            house = memory_house(*args, **kwargs)
            houses.callback(house.close)
            return house

        yield make


@pytest.fixture
def memory(new_house: Callable[..., House]) -> House:
    """A house in this process, whose store and broker a test may trouble."""
    return new_house()


@pytest.fixture
def redis_house(request: pytest.FixtureRequest) -> Iterator[House]:
    """A house on a Redis, with keys of its own."""
    server, namespace = request.getfixturevalue("redis_server"), f"m{os.getpid()}-{next(NUMBERS)}"
    store = RedisStore(server.url, namespace=namespace)
    broker = RedisBroker(url=server.url, namespace=f"{namespace}-q", middleware=guarded_stack(store, again=500))
    house = House(store, broker)
    yield house
    house.close()
    broker.close()
    store.close()


@pytest.fixture(params=["memory", "redis_house"], ids=["memory", "redis"])
def house(request: pytest.FixtureRequest) -> House:
    """For what must hold on real servers, too."""
    chosen: House = request.getfixturevalue(request.param)
    return chosen

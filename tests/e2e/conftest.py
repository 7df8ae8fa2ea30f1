"""Deployments on both brokers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, deployed


@pytest.fixture(params=["redis", "rabbitmq"])
def broker_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def deploy(
    broker_kind: str, private_redis: Callable[..., Any], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Deployment]]:
    """Starts a deployment on a store of its own, and on a broker that it shares with nobody at the same time.

    With `own_broker=True` the test may stop the broker too; other arguments are settings (CHATBOT_*).
    """
    with ExitStack() as stack:

        def start(*, own_broker: bool = False, **settings: str) -> Deployment:
            if broker_kind == "redis":
                broker = private_redis()
            elif own_broker:
                broker = request.getfixturevalue("private_rabbitmq")()
            else:
                broker = request.getfixturevalue("rabbitmq_server")
            return stack.enter_context(deployed(private_redis(), broker, **settings))

        yield start

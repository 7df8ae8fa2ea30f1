"""Fixtures that start real servers when a test asks for them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.hygiene import immortal_keys
from tests.processes.running import Run, Running, program
from tests.servers import MissingServerError, PrivateServer, RabbitmqServer, RedisServer, find_valkey

S = TypeVar("S", bound=PrivateServer)


def pytest_configure() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C, and so would be the processes that tests start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Garbage that a test fed and somebody logged must not keep the report from the process that prints it."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


def _create(factory: Callable[[], S]) -> S:
    """Make a server. One that is missing fails the test: a skipped broker is a broker that nobody tests."""
    try:
        return factory()
    except MissingServerError as exc:
        pytest.fail(str(exc), pytrace=False)


def _run(factory: Callable[[], S]) -> Iterator[S]:
    with _create(factory) as server:
        yield server


@pytest.fixture(autouse=True)
def mortal_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test does to a store, no key is left without a time to live."""
    yield
    for name in {"redis_server", "valkey_server"} & set(request.fixturenames):
        assert immortal_keys(request.getfixturevalue(name)) == [], "keys without a time to live"


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for all tests; who needs it empty calls `flush()`."""
    yield from _run(RedisServer)


@pytest.fixture(scope="session")
def valkey_server() -> Iterator[RedisServer]:
    """A Valkey for all tests; who needs it empty calls `flush()`."""
    yield from _run(lambda: RedisServer(find_valkey()))


@pytest.fixture(scope="session")
def rabbitmq_server() -> Iterator[RabbitmqServer]:
    """A RabbitMQ for all tests; use queues and namespaces of your own."""
    yield from _run(RabbitmqServer)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs programs; what is left of them at the end of the test is killed."""
    with ExitStack() as programs:
        count = 0

        def start(source: str) -> Running:
            nonlocal count
            count += 1
            return programs.enter_context(program(source, tmp_path / f"log{count}"))

        yield start


@pytest.fixture
def private_redis() -> Iterator[Callable[..., RedisServer]]:
    """Starts a Redis (or `private_redis(find_valkey())`) that the test may kill, with further options if given."""
    started: list[RedisServer] = []
    with ExitStack() as servers:

        def start(*args: Any) -> RedisServer:
            started.append(servers.enter_context(_create(lambda: RedisServer(*args))))
            return started[-1]

        yield start
        left = [key for server in started if server.process for key in immortal_keys(server)]
        assert left == [], "keys without a time to live"


@pytest.fixture
def private_rabbitmq() -> Iterator[Callable[[], RabbitmqServer]]:
    """Starts a RabbitMQ that the test may kill."""
    with ExitStack() as servers:
        yield lambda: servers.enter_context(_create(RabbitmqServer))

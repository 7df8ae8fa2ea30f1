"""Every broker carries Dramatiq's compositions: stored results, groups and pipelines, through our guards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import StubBackend as StubBarriers
from dramatiq.results import ResultBackend
from dramatiq.results.backends import RedisBackend, StubBackend

from chatbot.middleware import Deduplicated, Idempotent, declare
from tests.conformance.broker_harness import Transport
from tests.servers import RedisServer
from tests.waiting import wait_until

TIMEOUT = 10_000


@pytest.fixture(params=["stub", "redis"])
def results(request: pytest.FixtureRequest) -> Iterator[ResultBackend]:
    """Where results are stored."""
    if request.param == "stub":
        yield StubBackend()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    backend = RedisBackend(url=server.url)
    yield backend
    backend.client.close()
    backend.client.connection_pool.disconnect()


def double(number: int) -> int:
    return number * 2


def add(number: int, other: int) -> int:
    return number + other


def test_a_group_has_the_results_of_all_its_calls(transport: Transport, results: ResultBackend) -> None:
    broker = transport.broker(results=results)
    actor = declare(broker, double, queue_name=transport.queue(), store_results=True)
    with transport.worker(broker):
        group = dramatiq.group([actor.message(n) for n in range(5)], broker=broker).run()
        assert list(group.get_results(block=True, timeout=TIMEOUT)) == [0, 2, 4, 6, 8]


def test_a_pipeline_hands_each_result_to_the_next_call(transport: Transport, results: ResultBackend) -> None:
    broker = transport.broker(results=results)
    first = declare(broker, double, queue_name=transport.queue("first"), store_results=True)
    second = declare(broker, add, queue_name=transport.queue("second"), store_results=True)
    with transport.worker(broker):
        steps = [first.message(3), second.message(10), first.message()]
        pipeline = dramatiq.pipeline(steps, broker=broker).run()
        assert list(pipeline.get_results(block=True, timeout=TIMEOUT)) == [6, 16, 32]


def test_a_delayed_pipeline_completes(transport: Transport) -> None:
    broker = transport.broker()
    actor = declare(broker, double, queue_name=transport.queue(), store_results=True)
    with transport.worker(broker):
        pipeline = dramatiq.pipeline([actor.message(1), actor.message()], broker=broker).run(delay=100)
        assert pipeline.get_result(block=True, timeout=TIMEOUT) == 4


def test_a_groups_callback_runs_once_after_all_its_calls(transport: Transport) -> None:
    calls: list[Any] = []
    broker = transport.broker(GroupCallbacks(StubBarriers()))
    work = declare(broker, calls.append, actor_name="work", queue_name=transport.queue())
    done = declare(broker, lambda: calls.append("done"), actor_name="done", queue_name=transport.queue())
    with transport.worker(broker):
        group = dramatiq.group([work.message(n) for n in range(5)], broker=broker)
        group.add_completion_callback(done.message())
        group.run()
        wait_until(lambda: "done" in calls)
    assert sorted(calls[:-1]) == list(range(5))
    assert calls[-1] == "done"


@pytest.mark.parametrize(
    "policy",
    [{"deduplicated": Deduplicated(window=60_000)}, {"idempotent": Idempotent(key="{number}")}],
    ids=["deduplicated", "idempotent"],
)
def test_a_group_that_contains_a_duplicate_completes(transport: Transport, policy: dict[str, Any]) -> None:
    runs: list[int] = []

    def run(number: int) -> int:
        runs.append(number)
        return number * 2

    broker = transport.broker()
    actor = declare(broker, run, queue_name=transport.queue(), store_results=True, **policy)
    with transport.worker(broker):
        group = dramatiq.group([actor.message(n) for n in (1, 2, 1)], broker=broker).run()
        assert list(group.get_results(block=True, timeout=TIMEOUT)) == [2, 4, 2]
    assert sorted(runs) == [1, 2]

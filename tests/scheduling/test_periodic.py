"""What a tick meets at execution: it runs once, retries run, and a backlog is skipped only if asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chatbot.errors import PolicyInvalid
from chatbot.middleware import Debounced, declare
from chatbot.scheduling import cron
from tests.scheduling.hosts import Cluster, Host, minutes


def publish_a_tick(host: Host, cluster: Cluster) -> None:
    host.scheduler.step()
    cluster.clock.advance(60)
    host.scheduler.step()


def failing_once(then: Callable[[], None]) -> Callable[[], None]:
    """Return an actor's body that fails the first time."""
    failures = iter([RuntimeError("once")])

    def body() -> None:
        for failure in failures:
            then()
            raise failure

    return body


def test_a_retry_runs_however_late_it_is(cluster: Cluster) -> None:
    body = failing_once(lambda: cluster.clock.advance(3600))
    host = cluster.host(body=body, actor={"skip_delay": 30_000})
    publish_a_tick(host, cluster)
    host.work(lambda: len(cluster.ledger.runs) == 2)
    assert cluster.ledger.runs == minutes(1, 1)


def test_a_backlog_runs_unless_asked_otherwise(cluster: Cluster) -> None:
    host = cluster.host()
    publish_a_tick(host, cluster)
    cluster.clock.advance(86_400)
    host.work(lambda: bool(cluster.ledger.runs))
    assert cluster.ledger.runs == minutes(1)


def test_a_tick_that_is_too_late_is_skipped_if_asked_and_that_is_said(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    host = cluster.host(actor={"skip_delay": 30_000})
    publish_a_tick(host, cluster)
    cluster.clock.advance(31)
    host.work(lambda: "skipping the tick" in caplog.text)
    assert cluster.ledger.runs == []


def test_a_tick_that_is_a_little_late_is_not_skipped(cluster: Cluster) -> None:
    host = cluster.host(actor={"skip_delay": 30_000})
    publish_a_tick(host, cluster)
    cluster.clock.advance(29)
    host.work(lambda: bool(cluster.ledger.runs))


def test_a_tick_that_the_broker_has_twice_runs_once(cluster: Cluster) -> None:
    host = cluster.host()
    publish_a_tick(host, cluster)
    again = host.tidy.message_with_options(scheduled_at=minutes(1)[0])
    host.broker.enqueue(again)
    host.broker.enqueue(host.tidy.message_with_options(scheduled_at=minutes(2)[0]))
    host.work(lambda: len(cluster.ledger.runs) >= 2)
    assert sorted(filter(None, cluster.ledger.runs)) == minutes(1, 2)


def test_a_call_by_hand_always_runs(cluster: Cluster) -> None:
    host = cluster.host(actor={"skip_delay": 1})
    host.broker.middleware.pop()  # it notes ticks only
    host.tidy.send()
    host.tidy.send()
    host.work(lambda: len(cluster.ledger.runs) == 2)
    assert cluster.ledger.runs == [None, None]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"periodic": "* * * * *"}, "must be a CronSpec"),
        ({"periodic": cron("61 * * * *")}, "a minute is from 0 to 59"),
        ({"periodic": cron("* * * * *"), "catch_up": "some"}, "'latest' or 'all'"),
        (
            {"periodic": cron("* * * * *"), "debounced": Debounced(key=str, wait=0, max_wait=0)},
            "periodic and debounced",
        ),
    ],
)
def test_a_bad_option_is_refused_where_it_is_given(cluster: Cluster, options: dict[str, Any], problem: str) -> None:
    def other(items: list[str]) -> None:
        raise AssertionError(f"never declared, never run with {items}")

    with pytest.raises(PolicyInvalid, match=problem):
        declare(cluster.host().broker, other, queue_name=cluster.queue, **options)

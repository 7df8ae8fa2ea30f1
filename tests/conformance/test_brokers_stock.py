"""Every broker shares its queues with plain Dramatiq, in both directions."""

from __future__ import annotations

import time
from typing import Any

import dramatiq
import pytest

from chatbot.middleware import Debounced, Idempotent, declare
from tests.conformance.broker_harness import QUICK, Transport
from tests.waiting import wait_until

pytestmark = pytest.mark.parametrize("delay", [None, 200])


def stock_actor(broker: dramatiq.Broker, fn: Any, queue: str, **options: Any) -> dramatiq.Actor[..., Any]:
    return dramatiq.actor(broker=broker, queue_name=queue, actor_name="shared", **options)(fn)


def test_our_worker_runs_what_a_plain_producer_sends(transport: Transport, delay: int | None) -> None:
    calls: list[Any] = []
    queue, broker, producer = transport.queue(), transport.broker(), transport.stock()
    declare(broker, lambda *args: calls.append((time.time(), args)), actor_name="shared", queue_name=queue)
    theirs = stock_actor(producer, print, queue)
    with transport.worker(broker):
        sent = int(time.time() * 1000)
        theirs.send_with_options(args=(1, "a"), delay=delay)
        theirs.send_with_options(args=(2, "b"), delay=delay)
        wait_until(lambda: len(calls) >= 2)
    assert sorted(args for _, args in calls) == [(1, "a"), (2, "b")]
    assert min(at for at, _ in calls) * 1000 >= sent + (delay or 0)


def test_a_plain_worker_runs_what_we_send(transport: Transport, delay: int | None) -> None:
    calls: list[Any] = []
    queue, broker, consumer = transport.queue(), transport.broker(), transport.stock()
    ours = declare(broker, print, actor_name="shared", queue_name=queue)
    stock_actor(consumer, lambda *args: calls.append((time.time(), args)), queue)
    with transport.worker(consumer):
        sent = int(time.time() * 1000)
        ours.send_with_options(args=(1, "a"), delay=delay)
        ours.send_with_options(args=(2, "b"), delay=delay)
        wait_until(lambda: len(calls) >= 2)
    assert sorted(args for _, args in calls) == [(1, "a"), (2, "b")]
    assert min(at for at, _ in calls) * 1000 >= sent + (delay or 0)


def test_our_worker_retries_and_buries_what_a_plain_producer_sends(transport: Transport, delay: int | None) -> None:
    runs: list[int] = []

    def fail(number: int) -> None:
        runs.append(number)
        raise RuntimeError("again")

    queue, broker, producer = transport.queue(), transport.broker(), transport.stock()
    declare(broker, fail, actor_name="shared", queue_name=queue, max_retries=1, **QUICK)
    sent = stock_actor(producer, print, queue).send_with_options(args=(7,), delay=delay)
    with transport.worker(broker):
        (dead,) = wait_until(lambda: transport.dead(queue))
    assert runs == [7, 7]
    assert dead.message_id == sent.message_id


def test_guards_hold_for_what_a_plain_producer_sends(transport: Transport, delay: int | None) -> None:
    runs: list[Any] = []

    def collect(items: list[str]) -> None:
        runs.append(items)

    queue, broker, producer = transport.queue(), transport.broker(), transport.stock()
    policies: dict[str, Any] = {
        "debounced": Debounced(key="all", wait=200, max_wait=60_000, max_items=3),
        "idempotent": Idempotent(key="{items}"),
    }
    declare(broker, collect, actor_name="shared", queue_name=queue, **policies)
    theirs = stock_actor(producer, print, queue)
    for text in ("a", "a", "b", "c"):
        theirs.send_with_options(args=(text,), delay=delay)
    with transport.worker(broker, threads=1):
        wait_until(lambda: sum(map(len, runs)) >= 3)
    assert sorted(text for items in runs for text in items) == ["a", "b", "c"]

"""The sweep says what is open, finds what nothing looks at, and drops dead letters that are too old."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import pytest

from chatbot.actors.sweep import STALE, declare_sweep, sweep_actor
from chatbot.brokers import create
from chatbot.middleware import guarded_stack
from chatbot.scheduling import Periodic, Scheduler
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import OPEN, ClaimCheck, Offer, Window
from tests.servers import RedisServer
from tests.waiting import wait_until

LATER = Window(wait=60_000, max_wait=60_000)
NOW = Window(wait=0, max_wait=0)


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[RedisStore]:
    redis_server.flush()
    store = RedisStore(redis_server.url, partitions=2)
    yield store
    immortal = [key for key in store.client.scan_iter("{chatbot*") if store.client.pttl(key) == -1]
    store.close()
    assert immortal == []


@pytest.fixture
def gauges(caplog: pytest.LogCaptureFixture) -> Callable[[], dict[str, Any]]:
    """Reads the line of the last sweep."""
    caplog.set_level(logging.INFO, "chatbot")

    def read() -> dict[str, Any]:
        line = next(m for m in reversed(caplog.messages) if m.startswith("sweep "))
        found: dict[str, Any] = json.loads(line.removeprefix("sweep "))
        return found

    return read


def offer(store: RedisStore, *keys: str, window: Window = LATER) -> None:
    store.offer([Offer(key=key, item_id="1", body=b"", window=window) for key in keys])


def begin(store: RedisStore, key: str) -> ClaimCheck:
    offer(store, key, window=NOW)
    check = next(check for check in store.take_due(100, 5_000, 30_000).checks if check.key == key)
    store.begin(check, "w", 5_000)
    return check


def overlook(store: RedisStore) -> None:
    """Damage the ledger: no key would ever be looked at again."""
    store.client.delete(*store.client.keys("*}due"))


def test_one_line_tells_what_is_open(store: RedisStore, gauges: Callable[[], dict[str, Any]]) -> None:
    offer(store, "turn/a", "turn/b")
    begin(store, "turn/c")
    store.finish(begin(store, "turn/d"), "w", "dead")
    sweep_actor(store)()
    seen = gauges()
    assert (seen["open"], seen["running"], sum(seen["dead"]), len(seen["dead"])) == (3, 1, 1, 2)
    assert (seen["overdue_ms"], seen["mended"], seen["pruned"]) == (0, 0, 0)


def test_it_tells_how_far_the_pumps_are_behind(store: RedisStore, gauges: Callable[[], dict[str, Any]]) -> None:
    offer(store, "turn/a")
    offer(store, "turn/b", window=NOW)
    wait_until(lambda: any(part.oldest_due_in is not None and part.oldest_due_in < -20 for part in store.survey()))
    sweep_actor(store)()
    assert gauges()["overdue_ms"] > 20


def test_what_nothing_would_look_at_is_found_and_said(
    store: RedisStore, gauges: Callable[[], dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    keys = [f"turn/{n}" for n in range(10)]
    offer(store, *keys)
    overlook(store)
    sweep_actor(store)()
    assert gauges()["mended"] == 10
    assert "10 conversations were open" in caplog.text
    assert all(store.inspect(key).due_in is not None for key in keys)
    sweep_actor(store)()
    assert gauges()["mended"] == 0


def test_a_sweep_is_bounded_and_the_next_goes_on_where_it_ended(
    store: RedisStore, gauges: Callable[[], dict[str, Any]]
) -> None:
    keys = [f"turn/{n}" for n in range(200)]
    offer(store, *keys)
    overlook(store)
    found = []
    while sum(found) < 200 and len(found) < 100:
        sweep_actor(store, step=10, steps=3)()
        found.append(gauges()["mended"])
    assert sum(found) == 200
    assert len(found) > 5
    assert max(found) < 100


def test_dead_letters_that_have_expired_leave_the_index(
    store: RedisStore, gauges: Callable[[], dict[str, Any]]
) -> None:
    check = begin(store, "turn/a")
    store.finish(check, "w", "dead")
    index = next(iter(store.client.keys("*}dead")))
    store.client.zincrby(index, -OPEN - 1_000, f"{check.key}:{check.epoch}")
    sweep_actor(store)()
    assert (gauges()["pruned"], sum(gauges()["dead"])) == (1, 0)


def test_a_store_that_is_down_is_left_to_the_next_sweep(
    private_redis: Callable[..., RedisServer], caplog: pytest.LogCaptureFixture
) -> None:
    server = private_redis()
    store = RedisStore(server.url)
    server.kill()
    sweep_actor(store)()
    assert "left to the next minute" in caplog.text
    store.close()


def test_the_scheduler_has_it_swept_every_minute(
    store: RedisStore, redis_server: RedisServer, gauges: Callable[[], dict[str, Any]]
) -> None:
    minute = 1_769_860_800.0
    broker = create(redis_server.url, [Periodic(store, now=lambda: minute), *guarded_stack(store)])
    sweep = declare_sweep(broker, store)
    scheduler = Scheduler(broker, store, now=lambda: minute)
    offer(store, "turn/a")
    for _ in range(3):
        scheduler.step()
        minute += 60
    worker = dramatiq.Worker(broker, queues={"low"}, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        broker.join("low", timeout=10_000)
    finally:
        worker.stop()
    assert gauges()["open"] == 1
    assert (sweep.queue_name, sweep.options["skip_delay"]) == ("low", STALE)
    broker.close()

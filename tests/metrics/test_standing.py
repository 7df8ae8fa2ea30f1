"""The gauges are one look at the ledger, however many ask."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chatbot.metrics.standing import Standing
from chatbot.stores.memory import ManualClock, MemoryStore
from chatbot.stores.values import Offer, Survey, Window
from tests.middleware.running import TroubledStore

UP = {"store": "ok", "broker": "ok"}


class Surveyed(MemoryStore):
    looks = 0

    def survey(self) -> list[Survey]:
        self.looks += 1
        return super().survey()


def seen(standing: Standing) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in standing.collect()}


def test_they_tell_what_is_open_what_runs_and_what_is_late() -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    window = Window(wait=1_000, max_wait=1_000)
    store.offer([Offer(key=f"turns/{name}", item_id="1", body=b"0", window=window) for name in "ab"])
    clock.advance(4_000)
    (check, *_) = store.take_due(1, 5_000, 30_000).checks
    store.begin(check, "me", 60_000)
    found = seen(Standing(store, lambda: UP))
    assert found == {
        "chatbot_store_up": 1,
        "chatbot_broker_up": 1,
        "chatbot_open_windows": 2,
        "chatbot_running_turns": 1,
        "chatbot_buried_turns": 0,
        "chatbot_overdue_seconds": 3,
    }


def test_a_second_look_within_seconds_costs_nothing() -> None:
    store = Surveyed()
    standing = Standing(store, lambda: UP)
    for _ in range(10):
        seen(standing)
    assert store.looks == 1
    impatient = Standing(store, lambda: UP, fresh_for=0)
    seen(impatient)
    seen(impatient)
    assert store.looks == 3


def test_a_store_that_is_down_is_told_and_nothing_else_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    store = TroubledStore()
    assert seen(Standing(store, lambda: {"store": "down", "broker": "down"}, fresh_for=0))["chatbot_broker_up"] == 0

    def unavailable() -> list[Survey]:
        from chatbot.errors import StoreUnavailable

        raise StoreUnavailable

    monkeypatch.setattr(store, "survey", unavailable)
    assert seen(Standing(store, lambda: UP)) == {"chatbot_store_up": 0, "chatbot_broker_up": 1}


def test_registering_does_not_look() -> None:
    from prometheus_client import CollectorRegistry

    store = Surveyed()
    looked: Callable[[], dict[str, str]] = lambda: UP  # noqa: E731
    CollectorRegistry().register(Standing(store, looked))
    assert store.looks == 0

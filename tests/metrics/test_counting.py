"""What the guards decide and what workers run is counted once each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from chatbot.errors import Permanent, StoreUnavailable, Transient
from chatbot.metrics.meters import Meters
from chatbot.metrics.responder import Measured
from chatbot.middleware import Deduplicated
from chatbot.model import Draft, TurnRequest
from tests.metrics.reading import Numbers
from tests.middleware.running import CutBroker, House, TroubledStore, window
from tests.waiting import wait_until

Look = Callable[[], Numbers]


def test_a_burst_is_one_turn_of_its_items(house: House, numbers: Look) -> None:
    actor = house.declare(lambda items: None, actor_name="turns", debounced=window())
    for item in ("a1", "a2", "a3"):
        actor.send(item)
    house.work()
    house.settled(actor)
    wait_until(lambda: numbers()("chatbot_run_seconds_count"))
    seen = numbers()
    of = {"actor": "turns"}
    assert seen("chatbot_decisions_total", guarantee="debounced", outcome="absorbed", **of) == 3
    assert seen("chatbot_claims_total", verdict="new", **of) == 1
    assert seen("chatbot_turns_total", outcome="settled", **of) == 1
    assert (seen("chatbot_turn_items_sum", **of), seen("chatbot_turn_items_count", **of)) == (3, 1)
    assert seen("chatbot_window_seconds_sum", **of) >= 0.04
    assert seen("chatbot_overshoot_seconds_count", **of) == 1
    assert seen("chatbot_turn_latency_seconds_sum", **of) >= 0.04
    assert seen("chatbot_queue_seconds_count", queue="default") == 1
    assert seen("chatbot_run_seconds_count", **of) == 1


def test_what_is_suppressed_is_counted_by_guarantee_and_actor(house: House, numbers: Look) -> None:
    debounced = house.declare(lambda items: None, actor_name="d", debounced=window(max_buffered=1))
    once = house.declare(lambda order: None, actor_name="u", deduplicated=Deduplicated(window=60_000))
    debounced.send("a1")
    debounced.send("a2")
    once.send("o1")
    once.send("o1")
    seen = numbers()
    assert seen("chatbot_decisions_total", actor="d", guarantee="debounced", outcome="overflow") == 1
    assert seen("chatbot_decisions_total", actor="u", guarantee="deduplicated", outcome="enqueued") == 1
    assert seen("chatbot_decisions_total", actor="u", guarantee="deduplicated", outcome="duplicate") == 1


def test_a_turn_that_fails_is_retried_and_then_a_dead_letter_once(house: House, numbers: Look) -> None:
    def fail(items: list[str]) -> None:
        raise RuntimeError

    actor = house.declare(fail, actor_name="f", debounced=window(attempts=3))
    house.work()
    actor.send("a1")
    wait_until(lambda: numbers()("chatbot_run_seconds_count", actor="f") == 3)  # the ledger knows of an end before that
    seen = numbers()
    assert (seen("chatbot_retries_total", actor="f"), seen("chatbot_dead_letters_total", actor="f")) == (2, 1)
    assert (seen("chatbot_turns_total", outcome="kept"), seen("chatbot_turns_total", outcome="buried")) == (2, 1)
    assert seen("chatbot_turn_items_count", actor="f") == 1


def test_an_ordinary_message_that_fails_is_retried_and_then_a_dead_letter_once(house: House, numbers: Look) -> None:
    def fail() -> None:
        raise RuntimeError

    actor = house.declare(fail, actor_name="f", max_retries=2)
    house.work()
    actor.send()
    wait_until(lambda: numbers()("chatbot_dead_letters_total", actor="f"))
    seen = numbers()
    assert (seen("chatbot_retries_total", actor="f"), seen("chatbot_dead_letters_total", actor="f")) == (2, 1)
    assert seen("chatbot_run_seconds_count", actor="f") == 3


def test_counters_that_alerts_watch_begin_at_zero(house: House, numbers: Look) -> None:
    """A counter that appears with its first event has no increase, and that event no alert."""
    house.declare(lambda: None, actor_name="new")
    seen = numbers()
    for name in ("chatbot_retries_total", "chatbot_dead_letters_total"):
        assert seen.has(name, actor="new")
        assert seen(name, actor="new") == 0


def test_a_dead_letter_of_an_actor_that_nobody_declared_has_no_label_of_its_own(house: House, numbers: Look) -> None:
    actor = house.declare(lambda: None, actor_name="known")
    house.work()
    house.broker.enqueue(actor.message().copy(actor_name="made up by somebody"))
    wait_until(lambda: numbers()("chatbot_dead_letters_total", actor="unknown"))
    assert not numbers().has("chatbot_dead_letters_total", actor="made up by somebody")


def test_a_store_that_does_not_answer_is_counted(house: House, numbers: Look) -> None:
    actor = house.declare(lambda items: None, actor_name="d", debounced=window())
    assert isinstance(house.store, TroubledStore)
    house.store.down = {"offer"}
    with pytest.raises(StoreUnavailable):
        actor.send("a1")
    assert numbers()("chatbot_store_errors_total", actor="d", decision="failed") == 1


def test_a_broker_that_takes_no_turns_is_counted(house: House, numbers: Look) -> None:
    actor = house.declare(lambda items: None, actor_name="d", debounced=window())
    actor.send("a1")
    assert isinstance(house.broker, CutBroker)
    house.broker.cut = True
    house.work()
    wait_until(lambda: numbers()("chatbot_broker_errors_total"))


def test_a_lease_that_is_lost_is_counted(house: House, numbers: Look) -> None:
    begun, gate = threading.Event(), threading.Event()

    def slow(items: list[str]) -> None:
        begun.set()
        assert gate.wait(20)

    actor = house.declare(slow, actor_name="s", debounced=window())
    house.work()
    actor.send("a1")
    assert begun.wait(10)
    state = house.store.inspect("s/a")
    assert house.store.unlock("s/a", state.epoch, state.owner)
    wait_until(lambda: numbers()("chatbot_leases_lost_total") == 1)
    gate.set()
    wait_until(lambda: numbers()("chatbot_turns_total", outcome="refused") == 1)
    house.settled(actor)


class Answering:
    """A responder that returns or raises what it was given."""

    def __init__(self, *answers: Any) -> None:
        self.answers, self.closed = list(answers), False

    def respond(self, request: TurnRequest) -> list[Draft]:
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return [Draft(text=answer)]

    def close(self) -> None:
        self.closed = True


def test_a_responder_is_timed_and_its_failures_counted_by_what_they_mean(meters: Meters, numbers: Look) -> None:
    inner = Answering("hello", Transient("later"), Permanent("never"), ValueError("what?"), KeyboardInterrupt())
    responder = Measured(inner, meters)
    request = TurnRequest(turn_id="t", channel="generic", conversation_id="c", messages=())
    assert responder.respond(request)[0].text == "hello"
    for error in (Transient, Permanent, ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            responder.respond(request)
    seen = numbers()
    assert seen("chatbot_responder_seconds_count") == 5
    errors = {name: seen("chatbot_responder_errors_total", error=name) for name in ("transient", "permanent", "other")}
    assert errors == {"transient": 1, "permanent": 1, "other": 1}
    responder.close()
    assert inner.closed

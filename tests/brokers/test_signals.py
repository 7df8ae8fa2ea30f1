"""Signals of our brokers reach the middleware that listen to them, as those of Dramatiq's own do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq.brokers import stub
from dramatiq.middleware import Middleware, MiddlewareError

from chatbot.brokers.stub import StubBroker

MESSAGE: Any = object()


@pytest.fixture(params=[stub.StubBroker, StubBroker], ids=["Dramatiq's", "ours"])
def broker(request: pytest.FixtureRequest) -> Any:
    return request.param(middleware=[])


class Silent(Middleware):
    """Listens to nothing."""


class Listener(Middleware):
    """Notes what it hears, and then raises what it is told to."""

    def __init__(self, heard: list[str], name: str, error: Exception | None = None) -> None:
        self.heard, self.name, self.error = heard, name, error

    def before_ack(self, broker: Any, message: Any) -> None:
        assert message is MESSAGE
        self.heard.append(f"{self.name} before")
        if self.error:
            raise self.error

    def after_ack(self, broker: Any, message: Any) -> None:
        assert message is MESSAGE
        self.heard.append(f"{self.name} after")
        if self.error:
            raise self.error


class Heir(Listener):
    """Listens because its base does."""


class Slotted:
    """No heir of Middleware, and without a `__dict__`."""

    __slots__ = ("before_ack",)
    actor_options: frozenset[str] = frozenset()

    def __init__(self, hook: Callable[..., None]) -> None:
        self.before_ack = hook

    def after_ack(self, broker: Any, message: Any) -> None: ...


def acknowledge(broker: Any) -> None:
    broker.emit_before("ack", MESSAGE)
    broker.emit_after("ack", MESSAGE)


def test_middleware_is_told_in_its_order_and_afterwards_in_reverse(broker: Any) -> None:
    heard: list[str] = []
    broker.middleware = [Listener(heard, "a"), Silent(), Heir(heard, "b"), Listener(heard, "c")]
    acknowledge(broker)
    acknowledge(broker)
    assert heard == ["a before", "b before", "c before", "c after", "b after", "a after"] * 2


def test_who_comes_goes_or_takes_anothers_place_is_noticed(broker: Any) -> None:
    heard: list[str] = []
    first, second = Listener(heard, "first"), Listener(heard, "second")
    broker.middleware = [first, Silent()]
    broker.emit_before("ack", MESSAGE)
    broker.middleware.append(second)
    broker.emit_before("ack", MESSAGE)
    broker.middleware[0] = Listener(heard, "another")
    broker.emit_before("ack", MESSAGE)
    broker.middleware.remove(second)
    broker.emit_before("ack", MESSAGE)
    assert heard == [
        "first before", "first before", "second before", "another before", "second before", "another before",
    ]  # fmt: skip


def test_a_hook_of_an_instance_and_one_of_no_heir_are_told(broker: Any) -> None:
    heard: list[str] = []
    silent: Any = Silent()
    silent.before_ack = lambda broker, message: heard.append("instance")
    broker.middleware = [silent, Slotted(lambda broker, message: heard.append("slot"))]
    acknowledge(broker)
    assert heard == ["instance", "slot"]


def test_a_middleware_error_before_ends_it_and_is_raised(broker: Any) -> None:
    heard: list[str] = []
    broker.middleware = [Listener(heard, "a", MiddlewareError("no")), Listener(heard, "b")]
    with pytest.raises(MiddlewareError, match="no"):
        broker.emit_before("ack", MESSAGE)
    assert heard == ["a before"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_other_errors_and_all_errors_afterwards_are_logged_and_the_others_told(
    broker: Any, when: str, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[str] = []
    error = MiddlewareError("no") if when == "after" else RuntimeError("no")
    broker.middleware = [Listener(heard, "a"), Listener(heard, "b", error), Listener(heard, "c")]
    getattr(broker, f"emit_{when}")("ack", MESSAGE)
    assert sorted(heard) == [f"{name} {when}" for name in "abc"]
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert f"{when}_ack" in record.getMessage()


def test_a_signal_of_somebodys_own_is_told_to_who_has_its_hook(broker: Any) -> None:
    heard: list[str] = []

    class Own(Middleware):
        def after_tea(self, broker: Any, cups: int) -> None:
            heard.append(f"{cups} cups")

    broker.middleware = [Own()]
    broker.emit_after("tea", cups=2)
    assert heard == ["2 cups"]

"""A policy that cannot work is refused where it is written down or where the call is made, never later."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from chatbot.brokers.stub import StubBroker
from chatbot.errors import PolicyInvalid
from chatbot.middleware import Debounced, Deduplicated, Idempotent, declare
from tests.middleware.running import House, window

if TYPE_CHECKING:
    from decimal import Decimal as Unknown


@pytest.mark.parametrize(
    "make",
    [
        lambda: Debounced(key="k", wait=-1, max_wait=5),
        lambda: Debounced(key="k", wait=10, max_wait=5),
        lambda: Debounced(key="k", wait=0.5, max_wait=1),  # type: ignore[arg-type]
        lambda: Debounced(key="k", wait="2s", max_wait=5),  # type: ignore[arg-type]
        lambda: Debounced(key=None, wait=1, max_wait=5),  # type: ignore[arg-type]
        lambda: Debounced(key="k", wait=1, max_wait=5, max_items=0),
        lambda: Debounced(key="k", wait=1, max_wait=5, max_items=1_001),
        lambda: Debounced(key="k", wait=1, max_wait=5, max_items="9"),  # type: ignore[arg-type]
        lambda: Debounced(key="k", wait=1, max_wait=5, max_bytes=0),
        lambda: Debounced(key="k", wait=1, max_wait=5, attempts=0),
        lambda: Debounced(key="k", wait=1, max_wait=5, backoff=9, max_backoff=8),
        lambda: Debounced(key="k", wait=1, max_wait=5, on_running="drop"),  # type: ignore[arg-type]
        lambda: Idempotent(key=5),  # type: ignore[arg-type]
        lambda: Idempotent(key="k", ttl=0),
        lambda: Idempotent(key="k", ttl=timedelta(microseconds=1)),
        lambda: Idempotent(key="k", result_ttl=-1),
        lambda: Idempotent(key="k", lease=0),
        lambda: Idempotent(key="k", fingerprint=5),  # type: ignore[arg-type]
        lambda: Idempotent(key="k", on_store_error="Fail"),  # type: ignore[arg-type]
        lambda: Deduplicated(window=0),
        lambda: Deduplicated(window=1.5),  # type: ignore[arg-type]
        lambda: Deduplicated(window=5, exclude="at"),  # type: ignore[arg-type]
        lambda: Deduplicated(window=5, key=5),  # type: ignore[arg-type]
        lambda: Deduplicated(window=5, on_store_error="ignore"),  # type: ignore[arg-type]
    ],
)
def test_a_bad_value_is_refused_when_the_policy_is_made(make: Callable[[], object]) -> None:
    with pytest.raises(PolicyInvalid):
        make()


def test_durations_may_be_timedeltas() -> None:
    policy = Debounced(key="k", wait=timedelta(seconds=2), max_wait=timedelta(seconds=10))
    assert (policy.window(1).wait, policy.window(1).max_wait) == (2_000, 10_000)


def one(items: list[str]) -> None: ...
def none() -> None: ...
def two(items: list[str], more: str) -> None: ...
def unknown(items: list[Unknown]) -> None: ...
def useless(items: list[House]) -> None: ...


@pytest.mark.parametrize("option", ["debounced", "idempotent", "deduplicated"])
def test_the_wrong_type_of_policy_is_refused_at_declaration(memory: House, option: str) -> None:
    with pytest.raises(PolicyInvalid, match=f"{option} of 'one.* must be a"):
        memory.declare(one, **{option: {"window": 5}})


@pytest.mark.parametrize("fn", [none, two, unknown, useless])
def test_a_function_that_cannot_be_debounced_is_refused_at_declaration(memory: House, fn: Callable[..., Any]) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be debounced"):
        memory.declare(fn, debounced=window())


def test_a_name_that_would_break_its_keys_is_refused_at_declaration(memory: House) -> None:
    with pytest.raises(PolicyInvalid, match="slash"):
        memory.declare(one, debounced=window(), actor_name="a/b")


def test_excluding_an_unknown_parameter_is_refused_at_declaration(memory: House) -> None:
    with pytest.raises(PolicyInvalid, match="itmes"):
        memory.declare(one, deduplicated=Deduplicated(window=5, exclude=frozenset({"itmes"})))


def test_a_refused_actor_is_not_declared(memory: House) -> None:
    with pytest.raises(PolicyInvalid):
        memory.declare(two, debounced=window(), actor_name="two")
    assert "two" not in memory.broker.actors


@pytest.mark.parametrize(
    "send",
    [
        lambda actor: actor.send("a", "b"),
        lambda actor: actor.send(),
        lambda actor: actor.send(items="a"),
        lambda actor: actor.send_with_options(kwargs={"items": "a"}, debounced=None),
        lambda actor: actor.send_with_options(args=("a", "b"), debounced=None),
        lambda actor: actor.send(object()),
        lambda actor: actor.send("half an emoji: \ud83d"),
        lambda actor: actor.send("a" * 2_000_000),
        lambda actor: actor.send(""),  # its key asks for the first letter
        lambda actor: actor.send_with_options(args=("a",), debounced={"wiat": 5}),
        lambda actor: actor.send_with_options(args=("a",), debounced={"wait": -5}),
        lambda actor: actor.send_with_options(args=("a",), debounced={"wait": "5"}),
        lambda actor: actor.send_with_options(args=("a",), debounced=5),
        lambda actor: actor.send_with_options(args=("a",), debounced={"key": lambda item: 5}),
    ],
)
def test_a_call_that_does_not_fit_its_window_is_refused_to_the_sender(
    memory: House, send: Callable[[Any], object]
) -> None:
    actor = memory.declare(one, debounced=window())
    with pytest.raises(PolicyInvalid):
        send(actor)
    assert memory.state(actor) == "idle"


@pytest.mark.parametrize(
    "send",
    [
        lambda actor: actor.send("a", "b"),
        lambda actor: actor.send(object()),
        lambda actor: actor.send_with_options(args=("a",), deduplicated={"key": "{nobody}"}),
        lambda actor: actor.send_with_options(args=("a",), deduplicated={"on_store_error": "no"}),
    ],
)
def test_a_call_that_cannot_be_deduplicated_is_refused_to_the_sender(
    memory: House, send: Callable[[Any], object]
) -> None:
    actor = memory.declare(one, deduplicated=Deduplicated(window=60_000))
    with pytest.raises(PolicyInvalid):
        send(actor)
    assert memory.broker.published == 0


@pytest.mark.parametrize("ttl", [lambda item: 0, lambda item: "1 day", lambda item: None])
def test_a_function_for_the_ttl_must_return_a_duration(memory: House, ttl: Any) -> None:
    actor = memory.declare(one, debounced=window(), idempotent=Idempotent(key=lambda item: item, ttl=ttl))
    with pytest.raises(PolicyInvalid):
        actor.send("a1")


def test_a_policy_that_no_guard_reads_is_refused_with_the_cure() -> None:
    with pytest.raises(PolicyInvalid, match=r"reads debounced: build it with guarded_stack\(store\)"):
        declare(
            StubBroker(middleware=[]),
            lambda items: None,
            actor_name="a",
            debounced=Debounced(key="k", wait=1, max_wait=1),
        )

"""Deduplication, whatever the arguments and whenever the calls: what is the same, and for how long."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import pytest
from dramatiq import Actor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.brokers.stub import StubBroker
from chatbot.errors import PolicyInvalid
from chatbot.middleware import Deduplicated, declare, guarded_stack
from chatbot.middleware.calls import arguments, parameters_hash
from chatbot.stores.memory import MemoryStore
from tests.conformance.ledgers import LEDGERS, Ledger

numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1)).map(lambda moment: moment.replace(tzinfo=UTC))
leaves = st.none() | st.booleans() | numbers | st.text(max_size=8) | moments
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
)
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def noted(subject: Any, noise: Any = None) -> None: ...


ACTOR: Actor[..., Any] = declare(StubBroker(middleware=guarded_stack(MemoryStore())), noted)


def sum_of(a: int, b: int = 2, *, c: int = 3) -> None: ...


def all_of(*numbers: int, **named: int) -> None: ...


def nothing() -> None: ...


@pytest.mark.parametrize(
    ("fn", "args", "kwargs"),
    [
        (noted, ("s", "n"), {}), (noted, ("s",), {}), (noted, (), {"noise": 1, "subject": 2}), (nothing, (), {}),
        (sum_of, (1, 2), {}), (sum_of, (1,), {"c": 4}), (all_of, (), {}), (all_of, (1, 2), {"d": 3}),
    ],
)  # fmt: skip
def test_arguments_have_the_names_that_a_call_would_give_them(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    actor = declare(StubBroker(middleware=guarded_stack(MemoryStore())), fn)
    bound = inspect.signature(fn).bind(*args, **kwargs)
    bound.apply_defaults()
    assert arguments(actor, actor.message(*args, **kwargs)) == bound.arguments


@pytest.mark.parametrize("args", [(), (1, 2, 3)])
def test_a_call_that_does_not_fit_its_function_is_refused(args: tuple[int, ...]) -> None:
    with pytest.raises(PolicyInvalid, match="cannot be called like this"):
        arguments(ACTOR, ACTOR.message(*args))


def hashed(value: Any, noise: Any = None, exclude: frozenset[str] = frozenset()) -> str:
    return parameters_hash(ACTOR, ACTOR.message(value, noise=noise), exclude)


def unsorted(b: Any, ä: Any, _c: Any = None, a: Any = None) -> None: ...


UNSORTED: Actor[..., Any] = declare(StubBroker(middleware=guarded_stack(MemoryStore())), unsorted)
plain = st.none() | st.booleans() | st.integers() | st.text()


@QUICK
@given(args=st.lists(plain, min_size=2, max_size=4))
def test_plain_arguments_have_the_hash_that_they_have_among_others(args: list[Any]) -> None:
    """They take a shorter way, which processes of an older release do not know."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chatbot.middleware.calls._PLAIN", frozenset())
        long = parameters_hash(UNSORTED, UNSORTED.message(*args))
    assert parameters_hash(UNSORTED, UNSORTED.message(*args)) == long


def meaning(value: Any) -> Any:
    """Return what a value says, in a form in which different things are unequal."""
    if isinstance(value, dict):
        return ("object", frozenset((name, meaning(held)) for name, held in value.items()))
    if isinstance(value, list):
        return ("list", tuple(meaning(held) for held in value))
    if isinstance(value, bool) or value is None:
        return ("constant", repr(value))
    if isinstance(value, datetime):
        return ("text", value.astimezone(UTC).isoformat().replace("+00:00", "Z"))  # as JSON has it
    if isinstance(value, float) and not (value.is_integer() and abs(value) < 2**53):
        return ("float", value)
    return ("text", value) if isinstance(value, str) else ("number", Fraction(value))


def disguised(value: Any, draw: Callable[[Any], Any]) -> Any:
    """Return the same value in other clothes."""
    if isinstance(value, dict):
        return {name: disguised(value[name], draw) for name in draw(st.permutations(sorted(value)))}
    if isinstance(value, list):
        return [disguised(held, draw) for held in value]
    if isinstance(value, datetime):
        return value.astimezone(timezone(timedelta(minutes=draw(st.integers(-840, 840)))))
    if isinstance(value, int) and not isinstance(value, bool):
        return draw(st.sampled_from([value, float(value)]))
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return draw(st.sampled_from([value, int(value)]))
    return value


@QUICK
@given(values, st.data())
def test_a_value_in_other_clothes_is_the_same(value: Any, data: st.DataObject) -> None:
    assert hashed(value) == hashed(disguised(value, data.draw))


@QUICK
@given(values, values)
def test_two_calls_are_the_same_exactly_if_they_say_the_same(one: Any, other: Any) -> None:
    assert (hashed(one) == hashed(other)) == (meaning(one) == meaning(other))


@QUICK
@given(values, leaves, leaves)
def test_what_is_excluded_never_tells_calls_apart(value: Any, one: Any, other: Any) -> None:
    left_out = frozenset({"noise"})
    assert hashed(value, one, left_out) == hashed(value, other, left_out)


# --- the window ---
@contextmanager
def ledger_of(kind: str, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    ledger = LEDGERS[kind](request)
    try:
        yield ledger
    finally:
        ledger.close()


#: s. Half hours, as a real server lets some real time pass as well, which must not decide anything.
pauses = st.lists(st.integers(0, 24).map(lambda hour: (0.5 + hour) * 3_600), min_size=1, max_size=25)


@pytest.mark.parametrize("kind", ["memory", "redis"])
@settings(QUICK, max_examples=30)
@given(pauses=pauses)
def test_a_window_begins_with_the_call_that_was_enqueued_wherever_that_falls(
    kind: str, pauses: list[float], request: pytest.FixtureRequest
) -> None:
    window, opened, expected, got, now = 36_000.0, float("-inf"), list[str](), list[str](), 0.0
    with ledger_of(kind, request) as ledger:
        broker = StubBroker(middleware=guarded_stack(ledger.store))
        actor = declare(broker, noted, deduplicated=Deduplicated(window=timedelta(seconds=window)))
        for pause in pauses:
            ledger.advance(round(pause * 1_000))
            now += pause
            fresh = now - opened >= window
            opened = now if fresh else opened
            expected.append("enqueued" if fresh else "duplicate")
            got.append(actor.send("o1").options["outcome"])
    assert got == expected

"""Whatever a call, an item or a result is made of, the guards take it or say that it is no use, in their own words."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest
from dramatiq import Actor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.brokers.stub import StubBroker
from chatbot.errors import Permanent, PolicyInvalid
from chatbot.middleware import declare, guarded_stack
from chatbot.middleware.calls import parameters_hash, resolve
from chatbot.middleware.runner import _decode
from chatbot.middleware.steps import decoded, encoded
from chatbot.model import InboundMessage
from chatbot.stores.memory import MemoryStore
from chatbot.stores.values import Entry

LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.text(st.characters()) | st.binary()
    | st.datetimes() | st.dates() | st.times() | st.timedeltas() | st.uuids() | st.decimals() | st.complex_numbers()
    | st.sampled_from([object(), print, int, ..., "\ud800"])
)  # fmt: skip
KEYS = st.none() | st.integers() | st.floats() | st.text() | st.binary() | st.just("\udfff") | st.tuples(st.integers())
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(KEYS, inner, max_size=4)
        | st.sets(st.integers() | st.text(), max_size=4) | st.frozensets(st.dates(), max_size=3)
    ),
    max_leaves=12,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS: list[Any] = [
    Any, str, int, bytes, dict[str, int], list[float], InboundMessage, datetime, date, time, timedelta, Decimal, UUID,
]  # fmt: skip


def take(value: Any, other: Any = None) -> None: ...


ACTOR: Actor[..., Any] = declare(StubBroker(middleware=guarded_stack(MemoryStore())), take)


@FUZZ
@given(ANYTHING)
def test_arguments_have_a_hash_or_cannot_be_compared(value: Any) -> None:
    message = ACTOR.message(value)
    try:
        found = parameters_hash(ACTOR, message)
    except PolicyInvalid:
        return
    assert len(found) == 32
    assert parameters_hash(ACTOR, message) == found


@FUZZ
@given(st.dictionaries(st.text() | st.integers(), ANYTHING, min_size=2, max_size=5))
def test_the_hash_does_not_depend_on_the_order_of_keys(value: dict[Any, Any]) -> None:
    backwards = dict(reversed(value.items()))
    try:
        found = parameters_hash(ACTOR, ACTOR.message(value))
    except PolicyInvalid:
        with pytest.raises(PolicyInvalid):
            parameters_hash(ACTOR, ACTOR.message(backwards))
        return
    if len({str(key) for key in value}) == len(value):  # "1" and 1 are one key of JSON
        assert parameters_hash(ACTOR, ACTOR.message(backwards)) == found


@FUZZ
@given(st.text(max_size=20) | st.sampled_from(["{value}", "{value[a]}", "{value.b}", "{other!r:>9}"]), ANYTHING)
def test_a_key_fits_a_call_or_says_that_it_does_not(template: str, value: Any) -> None:
    for key in (template, lambda value: value):
        try:
            found = resolve(key, ACTOR, ACTOR.message(value))
        except PolicyInvalid:
            continue
        assert found is None or found.encode().decode() == found


def test_a_key_that_no_store_could_write_down_does_not_fit() -> None:
    with pytest.raises(PolicyInvalid):
        resolve(lambda value: value, ACTOR, ACTOR.message("half of a pair: \ud800"))


@FUZZ
@given(ANYTHING)
def test_a_result_is_kept_or_cannot_be(value: Any) -> None:
    try:
        kept = encoded(value)
    except Permanent:
        return
    again = decoded(kept)
    assert encoded(again) == kept or json.dumps(again) == json.dumps(decoded(encoded(again)))


@FUZZ
@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_an_item_is_read_or_given_up_for_good(body: bytes) -> None:
    for kind in KINDS:
        try:
            (item,) = _decode([Entry(0, "", body)], kind)
        except Permanent:
            continue
        msgspec.json.encode(item)


@pytest.mark.parametrize("kind", [Any, list[Any], InboundMessage])
def test_an_item_that_is_too_deep_to_be_read_is_given_up_for_good(kind: Any) -> None:
    with pytest.raises(Permanent):
        _decode([Entry(0, "", b"[" * 100_000 + b"]" * 100_000)], kind)

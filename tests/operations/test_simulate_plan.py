"""The plan of a simulation: reproducible, and as bad as providers are."""

from __future__ import annotations

from collections import Counter

import pytest

from chatbot.errors import ConfigurationError
from chatbot.operations.simulate.plan import Burst, Plan, crowd, make


def plan(seed: int = 1, messages: int = 5, bursts: int = 2) -> Plan:
    return make(conversations=20, messages=messages, bursts=bursts, seed=seed)


def all_bursts(seed: int, messages: int = 5) -> list[Burst]:
    return [burst for conversation in plan(seed, messages) for burst in conversation]


def test_the_same_seed_is_the_same_plan() -> None:
    assert plan(7) == plan(7)
    assert plan(7) != plan(8)


@pytest.mark.parametrize("messages", [1, 2, 5, 50])
@pytest.mark.parametrize("seed", range(5))
def test_each_message_is_delivered_one_to_three_times_and_first_as_new(seed: int, messages: int) -> None:
    for burst in all_bursts(seed, messages):
        times = Counter(delivery.message for delivery in burst.deliveries)
        assert set(times) == set(burst.texts)
        assert all(1 <= count <= 3 for count in times.values())
        first = {delivery.message: delivery for delivery in reversed(burst.deliveries)}
        assert not any(delivery.repeat for delivery in first.values())
        assert sum(delivery.repeat for delivery in burst.deliveries) == len(burst.deliveries) - len(burst.texts)


@pytest.mark.parametrize("seed", range(5))
def test_new_messages_come_in_order_and_some_repeats_late(seed: int) -> None:
    for burst in all_bursts(seed):
        new = [delivery.message for delivery in burst.deliveries if not delivery.repeat]
        assert new == sorted(new)
        assert burst.late
        assert all(delivery.repeat for delivery in burst.late)


def test_repeats_come_out_of_order_too() -> None:
    orders = [[delivery.message for delivery in burst.prompt] for burst in all_bursts(1)]
    assert any(order != sorted(order) for order in orders)


def test_no_line_is_said_twice_in_a_conversation() -> None:
    for bursts in plan(messages=50, bursts=5):
        lines = [line for burst in bursts for line in burst.texts.values()]
        assert len(set(lines)) == len(lines)


def test_more_people_type_at_once_at_a_higher_rate() -> None:
    slow, quick = (crowd(plan(), rate=rate, wait=2.0, max_wait=10.0) for rate in (30.0, 300.0))
    assert 1 <= slow < quick


def test_a_rate_that_would_split_bursts_is_refused_with_one_that_would_not() -> None:
    with pytest.raises(ConfigurationError, match=r"give at least --rate (\d+)") as refused:
        crowd(plan(), rate=0.5, wait=2.0, max_wait=10.0)
    enough = float(str(refused.value).partition("--rate 0.5")[2].partition("--rate ")[2].partition(",")[0])
    assert crowd(plan(), rate=enough, wait=2.0, max_wait=10.0) == 1

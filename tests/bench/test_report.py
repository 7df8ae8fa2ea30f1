"""What a benchmark says about its figures: medians of rounds, ratios inside a round, verdicts, checks."""

from __future__ import annotations

import math

import pytest

from chatbot.bench.brokers import beside
from chatbot.bench.report import (
    Check,
    Figure,
    Report,
    at_least,
    at_most,
    check,
    merged,
    percentile,
    ratio,
    spread,
)


def report(*checks: Check) -> Report:
    return Report(command="x", title="X", figures=(), checks=checks, settings={})


def test_a_spread_is_the_median_and_the_range_of_all_rounds() -> None:
    found = spread("a", [5.0, 1.0, 2.0])
    assert (found.median, found.low, found.high) == (2.0, 1.0, 5.0)


def test_nothing_measured_is_an_error_and_no_figure() -> None:
    with pytest.raises(ValueError, match="nothing was measured of a"):
        spread("a", [])


def test_a_ratio_is_taken_inside_each_round() -> None:
    """A machine that was busy in the second round slowed both sides: the ratio does not move."""
    assert ratio("a / b", [100.0, 50.0, 100.0], [50.0, 25.0, 50.0]).values == (2.0, 2.0, 2.0)


def test_a_side_that_took_no_time_is_infinitely_slower_and_no_crash() -> None:
    assert ratio("a / b", [1.0], [0.0]).median == math.inf


def test_a_ratio_of_sides_with_unequal_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio("a / b", [1.0, 2.0], [1.0])


@pytest.mark.parametrize(("percent", "expected"), [(50, 50), (99, 99), (100, 100), (0, 1)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, expected: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_the_99th_percentile_of_few_values_is_the_largest() -> None:
    assert percentile([3.0, 1.0, 2.0], 99) == 3.0


@pytest.mark.parametrize(("value", "low", "high"), [(0.9, False, True), (1.0, True, True), (1.1, True, False)])
def test_a_target_is_reached_at_its_bound(value: float, low: bool, high: bool) -> None:
    assert (at_least("", value, 1.0).reached, at_most("", value, 1.0).reached) == (low, high)


def test_a_check_that_fails_says_what_was_found() -> None:
    assert check("counts agree", 3, 4) == Check(text="counts agree: found 3, not 4", ok=False)


def test_a_check_that_failed_in_one_round_stays_failed() -> None:
    kept = merged([Check(text="a", ok=True), Check(text="a", ok=False), Check(text="b", ok=True)])
    assert kept == (Check(text="a", ok=False), Check(text="b", ok=True))


def test_a_report_with_one_wrong_answer_is_not_ok() -> None:
    assert not report(Check(text="a", ok=True), Check(text="b", ok=False)).ok


def test_a_report_that_checked_nothing_is_not_ok() -> None:
    assert not report().ok


def test_a_missed_target_is_no_wrong_answer() -> None:
    missed = Figure(title="t", unit="s", verdicts=(at_most("", 2, 1),))
    assert Report(command="x", title="X", figures=(missed,), checks=(Check(text="a", ok=True),), settings={}).ok


def test_brokers_stand_beside_each_other_side_by_side_of_ours() -> None:
    def found(kind: str, rate: float) -> Figure:
        sides = (spread("chatbot", [rate]), spread("turns", [rate / 2]), spread("stock", [1.0]))
        return Figure(title="calls", unit="/s", more_is_better=True, broker=kind, sides=sides)

    calls, turns = beside({"redis": [found("redis", 10.0)], "rabbitmq": [found("rabbitmq", 30.0)]})
    assert (calls.title, turns.title) == ("calls", "calls: turns")
    assert [(side.name, side.median) for side in turns.sides] == [("redis", 5.0), ("rabbitmq", 15.0)]
    assert calls.ratios[0].median == 3.0
    assert calls.more_is_better


def test_what_only_one_broker_has_is_not_compared() -> None:
    only = Figure(title="idle", unit="/s", broker="redis", sides=(spread("chatbot", [1.0]),))
    assert beside({"redis": [only], "rabbitmq": []}) == ()

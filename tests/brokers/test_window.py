"""How many messages a consumer may hold, by the pace of its calls."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from chatbot.brokers.window import MOST, QUICK, SAMPLE, SLOW, TIMES, Prefetch, Window

NARROW = 16
WIDE = NARROW * TIMES


class Clock:
    """A clock that only tests move."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("chatbot.brokers.window.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def pace(clock: Clock) -> Callable[[Window, float], int]:
    """Let calls be done, so that a wide window would take so many seconds; return how many the consumer may hold."""

    def go(window: Window, takes: float) -> int:
        clock.now += takes * NARROW / window.wide
        window.done(NARROW)
        return window.size()

    return go


def test_it_is_wide_while_calls_are_quick(clock: Clock, pace: Callable[[Window, float], int]) -> None:
    window = Window(Prefetch(NARROW))
    assert (window.size(), window.narrow, window.wide) == (NARROW, NARROW, WIDE)
    assert pace(window, QUICK * 0.9) == WIDE
    assert pace(window, SLOW * 0.9) == WIDE  # it does not waver
    assert pace(window, SLOW * 1.1) == NARROW
    assert pace(window, QUICK * 1.1) == NARROW
    assert pace(window, QUICK * 0.9) == WIDE


def test_it_is_narrow_when_nothing_was_done_for_a_while(clock: Clock, pace: Callable[[Window, float], int]) -> None:
    window = Window(Prefetch(NARROW))
    assert pace(window, QUICK * 0.9) == WIDE
    clock.now += SLOW * 1.1
    assert window.size() == NARROW


def test_a_few_calls_say_nothing_yet(clock: Clock) -> None:
    window = Window(Prefetch(2))
    window.done(SAMPLE - 1)
    assert window.size() == 2
    window.done(1)
    assert window.size() == 2 * TIMES


def test_a_plain_number_is_exact(clock: Clock, pace: Callable[[Window, float], int]) -> None:
    window = Window(NARROW)
    assert [pace(window, QUICK / 2) for _ in range(3)] == [NARROW] * 3


@pytest.mark.parametrize(("prefetch", "wide"), [(1, TIMES), (100, MOST), (MOST, MOST), (4_000, 4_000)])
def test_it_is_never_wider_than_is_of_use(
    clock: Clock, pace: Callable[[Window, float], int], prefetch: int, wide: int
) -> None:
    assert Window(Prefetch(prefetch)).wide == wide

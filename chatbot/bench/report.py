"""What a benchmark found: absolute figures, ratios within one run, targets with a verdict, and checks of the answers.

A figure compares sides that were measured in turns, round by round. A ratio is taken inside each round, so what else
the machine did meanwhile moves both of its sides; the median of the rounds is the result, and their range the spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median

from msgspec import Struct


class Spread(Struct, frozen=True, kw_only=True):
    """One value per round, with what sums them up."""

    name: str
    values: tuple[float, ...]
    median: float
    low: float
    high: float


class Verdict(Struct, frozen=True, kw_only=True):
    """A target, what was measured, and whether that reaches it."""

    text: str
    value: float
    reached: bool


class Figure(Struct, frozen=True, kw_only=True):
    """One comparison: the sides' own values in `unit`, ratios between them, and targets."""

    title: str
    unit: str
    #: Whether a larger value is the better one.
    more_is_better: bool = False
    #: Which broker it was measured with; empty where none takes part.
    broker: str = ""
    sides: tuple[Spread, ...] = ()
    ratios: tuple[Spread, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    note: str = ""


class Check(Struct, frozen=True, kw_only=True):
    """Whether the answers were right. A fast wrong result is a failure."""

    text: str
    ok: bool


class Report(Struct, frozen=True, kw_only=True):
    """What one benchmark found, and where."""

    command: str
    title: str
    figures: tuple[Figure, ...]
    checks: tuple[Check, ...]
    settings: Mapping[str, str | int | float]
    machine: Mapping[str, str] = {}
    started: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Say whether every answer was right; a missed target is shown, but it is no failure."""
        return bool(self.checks) and all(check.ok for check in self.checks)


def spread(name: str, values: Sequence[float]) -> Spread:
    """Sum up the values of all rounds. Raises ValueError if there are none."""
    if not values:
        raise ValueError(f"nothing was measured of {name}")
    return Spread(name=name, values=tuple(values), median=median(values), low=min(values), high=max(values))


def ratio(name: str, ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Compare two sides round by round."""
    return spread(name, [a / b if b else math.inf for a, b in zip(ours, theirs, strict=True)])


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def at_least(text: str, value: float, bound: float) -> Verdict:
    """Judge a target that is a lower bound."""
    return Verdict(text=text, value=value, reached=value >= bound)


def at_most(text: str, value: float, bound: float) -> Verdict:
    """Judge a target that is an upper bound."""
    return Verdict(text=text, value=value, reached=value <= bound)


def check(text: str, found: object, expected: object) -> Check:
    """Compare what was counted with what must be; a difference is told in the text."""
    ok = found == expected
    return Check(text=text if ok else f"{text}: found {found}, not {expected}", ok=ok)


def merged(checks: Sequence[Check]) -> tuple[Check, ...]:
    """Return each text once: a check holds if it held in every round."""
    texts = dict.fromkeys(one.text for one in checks)
    return tuple(Check(text=text, ok=all(one.ok for one in checks if one.text == text)) for text in texts)

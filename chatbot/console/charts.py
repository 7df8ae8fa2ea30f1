"""Small charts as SVG paths: bars over the last minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 300, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """One row of bars: a path, and what kind of thing it shows (a class of the style)."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart in words and in paths. `now` is the number to read, `peak` the highest bar."""

    title: str
    now: str
    note: str
    peak: str
    rows: tuple[Bars, ...]


def bars(*rows: tuple[str, Sequence[float]]) -> tuple[tuple[Bars, ...], float]:
    """Return rows of bars that stand on each other, and the highest of them."""
    totals = [sum(values) for values in zip(*(values for _, values in rows), strict=True)]
    highest = max(totals, default=0)
    ground, made = [0.0] * len(totals), []
    for kind, values in rows:
        made.append(Bars(kind=kind, path=_path(ground, values, highest)))
        ground = [below + value for below, value in zip(ground, values, strict=True)]
    return tuple(made), highest


def _path(ground: Sequence[float], values: Sequence[float], highest: float) -> str:
    wide = WIDTH / max(1, len(values))
    steps = []
    for place, (below, value) in enumerate(zip(ground, values, strict=True)):
        if value > 0:
            # What is there at all can be seen.
            high = max(1.5, value / highest * HEIGHT)
            foot = HEIGHT - below / highest * HEIGHT
            steps.append(f"M{place * wide + 0.5:.1f} {foot:.1f}v{-high:.1f}h{wide - 1:.1f}v{high:.1f}z")
    return "".join(steps)

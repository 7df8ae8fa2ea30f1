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
class Rates:
    """How often something was. `peak`, the highest bar, is of a second; `title` and `what` are English."""

    title: str
    what: str
    rows: tuple[Bars, ...]
    peak: float
    total: int
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """How long something took, in ms: the highest bar, the median and the 95th percentile of all, if there are any."""

    title: str
    what: str
    rows: tuple[Bars, ...]
    peak: float
    percentiles: tuple[int, int] | None


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

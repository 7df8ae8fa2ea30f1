"""A bar chart as SVG: one bar a side, with a line from its lowest round to its highest."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from chatbot.bench.report import Spread
from chatbot.bench.text import number

WIDTH, LABEL, VALUE, ROW, BAR = 720, 150, 110, 30, 16


def bars(sides: Sequence[Spread], unit: str) -> str:
    """Return the chart. Bars begin at zero, so their lengths compare as the values do."""
    longest = max((side.high for side in sides), default=0) or 1
    scale = (WIDTH - LABEL - VALUE) / longest
    rows = "".join(_bar(place, side, unit, scale) for place, side in enumerate(sides))
    height = ROW * len(sides)
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">{rows}</svg>'


def _bar(place: int, side: Spread, unit: str, scale: float) -> str:
    top, middle = place * ROW + (ROW - BAR) / 2, place * ROW + ROW / 2
    low, high, end = (LABEL + scale * value for value in (side.low, side.high, side.median))
    kind = "ours" if place == 0 else "theirs"
    return (
        f'<text x="{LABEL - 8}" y="{middle + 5}" text-anchor="end">{escape(side.name)}</text>'
        f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{max(1.0, end - LABEL):.1f}" height="{BAR}" rx="2"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<text x="{max(high, end) + 8:.1f}" y="{middle + 5}">{number(side.median)} {escape(unit)}</text>'
    )

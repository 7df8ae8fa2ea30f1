"""A bar chart as SVG: one bar a side, with a line from its lowest round to its highest."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from chatbot.bench.report import Figure, Spread
from chatbot.bench.text import heading, number

WIDTH, LABEL, VALUE, ROW, BAR, HEADING = 720, 150, 110, 30, 16, 40
#: A picture of its own has no page that says which colours it has, and may be shown on a dark one.
STYLE = """text { font: 14px system-ui, sans-serif; fill: #1c2330; } .title { font-weight: 600; }
.ours { fill: #2f6fde; } .theirs { fill: #b9c2d0; } line { stroke: #1c2330; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) { text { fill: #e6e9ef; } .ours { fill: #6ea0ff; } .theirs { fill: #4a5568; }
line { stroke: #e6e9ef; } }"""


def bars(sides: Sequence[Spread], unit: str) -> str:
    """Return the chart. Bars begin at zero, so their lengths compare as the values do."""
    longest = max((side.high for side in sides), default=0) or 1
    scale = (WIDTH - LABEL - VALUE) / longest
    rows = "".join(_bar(place, side, unit, scale) for place, side in enumerate(sides))
    height = ROW * len(sides)
    return f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">{rows}</svg>'


def picture(figures: Sequence[Figure]) -> str:
    """Return the charts of some figures as one SVG file, each below its title."""
    parts, top = "", 0
    for figure in figures:
        better = "more" if figure.more_is_better else "less"
        title = f"{heading(figure)} ({better} is better)"
        parts += f'<text class="title" x="0" y="{top + HEADING - 12}">{escape(title)}</text>'
        top += HEADING
        parts += f'<g transform="translate(0 {top})">{bars(figure.sides, figure.unit)}</g>'
        top += ROW * len(figure.sides)
    frame = f'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    return f"<svg {frame}><style>{STYLE}</style>{parts}</svg>\n"


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

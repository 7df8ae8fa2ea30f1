"""A report as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from chatbot.bench.report import Figure, Report, Spread

NAME, NUMBER = 26, 12


def text(report: Report) -> str:
    """Return a report as lines: per figure its sides, ratios and targets; then the checks of the answers."""
    return "\n".join(_lines(report)) + "\n"


def number(value: float) -> str:
    """Return a value with three significant digits, or all of its whole ones."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.title} (chatbot bench {report.command})"
    for figure in report.figures:
        yield ""
        yield f"  {heading(figure)}"
        for side in figure.sides:
            yield _row(side, figure.unit)
        for ratio in figure.ratios:
            yield _row(ratio, "x")
        for verdict in figure.verdicts:
            yield f"    {'reached' if verdict.reached else 'MISSED ':8} {verdict.text}: {number(verdict.value)}"
        if figure.note:
            yield f"    ({figure.note})"
    yield ""
    for check in report.checks:
        yield f"  {'right' if check.ok else 'WRONG'}  {check.text}"
    yield ""
    yield from (f"  {name}: {value}" for name, value in {**report.settings, **report.machine}.items())
    yield f"  {report.started}, {report.seconds:.0f} s"


def heading(figure: Figure) -> str:
    """Return a figure's title with its broker."""
    return f"{figure.title}, {figure.broker}" if figure.broker else figure.title


def _row(found: Spread, unit: str) -> str:
    middle = f"    {found.name:{NAME}}{number(found.median):>{NUMBER}} {unit}"
    return (
        middle
        if found.low == found.high
        else f"{middle:{NAME + NUMBER + 9}}({number(found.low)} to {number(found.high)})"
    )

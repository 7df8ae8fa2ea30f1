"""Reports as one page of HTML that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from chatbot.bench.chart import bars
from chatbot.bench.report import Figure, Report, Spread
from chatbot.bench.text import heading, number

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --paper: #fff; --ours: #2f6fde; --theirs: #b9c2d0; --line: #1c2330;
  --good: #1a7f4b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --paper: #14181f; --ours: #6ea0ff; --theirs: #4a5568;
  --line: #e6e9ef; --good: #57c98a; --bad: #ff8a80; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 46rem;
  margin: 2rem auto; padding: 0 1rem; }
svg { max-width: 100%; height: auto; font-size: 14px; } svg text { fill: var(--ink); }
.ours { fill: var(--ours); } .theirs { fill: var(--theirs); } svg line { stroke: var(--line); stroke-width: 1.5; }
table { border-collapse: collapse; font-size: 0.9rem; } td, th { padding: 0.1rem 0.8rem 0.1rem 0; text-align: left;
  font-variant-numeric: tabular-nums; } .reached { color: var(--good); }
.missed { color: var(--bad); font-weight: 600; } h3 { margin-bottom: 0.2rem; } nav a { margin-right: 1rem; }
section { border-top: 1px solid var(--theirs); margin-top: 2rem; }
"""


def page(reports: Sequence[Report]) -> str:
    """Return the page."""
    links = "".join(f'<a href="#{escape(report.command)}">{escape(report.command)}</a>' for report in reports)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>chatbot bench</title>'
        f"<style>{STYLE}</style></head><body><h1>chatbot bench</h1><nav>{links}</nav>"
        + "".join(part for report in reports for part in _section(report))
        + "</body></html>\n"
    )


def _section(report: Report) -> Iterator[str]:
    yield f'<section id="{escape(report.command)}"><h2>{escape(report.title)}</h2>'
    yield from (part for figure in report.figures for part in _figure(figure))
    yield "<h3>The answers were checked</h3><ul>"
    for check in report.checks:
        yield f"<li>{_mark(check.ok, 'right', 'WRONG')} {escape(check.text)}</li>"
    yield "</ul><details><summary>Machine, versions, settings</summary><table>"
    shown = {**report.settings, **report.machine, "measured": report.started, "took": f"{report.seconds:.0f} s"}
    yield from (f"<tr><th>{escape(name)}</th><td>{escape(str(value))}</td></tr>" for name, value in shown.items())
    yield "</table></details></section>"


def _figure(figure: Figure) -> Iterator[str]:
    yield f"<h3>{escape(heading(figure))}</h3>{bars(figure.sides, figure.unit)}"
    for verdict in figure.verdicts:
        yield f"<p>{_mark(verdict.reached, 'reached', 'missed')} {escape(verdict.text)}: {number(verdict.value)}</p>"
    if figure.note:
        yield f"<p>{escape(figure.note)}</p>"
    yield "<table><tr><th></th><th>median</th><th>lowest</th><th>highest</th><th>rounds</th></tr>"
    yield from (_row(side, figure.unit) for side in figure.sides)
    yield from (_row(found, "x") for found in figure.ratios)
    yield "</table>"


def _row(found: Spread, unit: str) -> str:
    values = "".join(f"<td>{number(value)} {escape(unit)}</td>" for value in (found.median, found.low, found.high))
    return f"<tr><td>{escape(found.name)}</td>{values}<td>{len(found.values)}</td></tr>"


def _mark(good: bool, yes: str, no: str) -> str:
    return f'<span class="{"reached" if good else "missed"}">{yes if good else no}</span>'

"""The page of the benchmarks: targets, where the project loses, every figure with a chart, and how it was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chatbot.bench.chart import picture
from chatbot.bench.report import Figure, Report
from chatbot.bench.text import heading, number
from chatbot.bench.written.found import Found, label
from chatbot.bench.written.losses import LESS, PEERS, Loss, losses, missed
from chatbot.bench.written.table import table

METHOD = """## How it is measured

- Every benchmark starts servers and processes of its own on the loopback; the store writes each answer to disk before it gives it (`appendfsync always`), RabbitMQ confirms each message.
- Load comes from a real HTTP client in another process, with signed webhooks; what it does takes processor time of the same machine.
- Sides that are compared are warmed up and take turns, round by round, in one run; a ratio is taken inside a round, so what else the machine does moves both sides.
- A figure is the median of the rounds; beside it stand the lowest and the highest.
- "stock" is plain Dramatiq with its own broker class, "bare" an endpoint that verifies and calls `send` of plain Dramatiq in a thread, "no store" our own endpoint whose messages go nowhere.
- Every answer is counted: accepted, run, replied. No page is written from a run in which one was wrong.
- It is one machine: nothing here shows how a network between the processes, or a cluster of servers, changes a figure.
"""  # noqa: E501 - a sentence of the page is a line
NONE = "None in this run."
AGAIN = """## Measure it yourself

<!-- not run: it takes as long as the whole run did -->
```sh
chatbot bench all --json bench.json --html bench.html
chatbot bench pages bench.json --docs docs
```

`chatbot bench accept --quick` takes less than a minute a broker and shows how fast it is on your machine, roughly.

What this page was made from is in [run.json](benchmarks/run.json).
Who has measured a part of it anew gives both, the older one first:

<!-- not run: there is no newer run -->
```sh
chatbot bench pages docs/benchmarks/run.json newer.json --docs docs
```
"""


def charted(report: Report) -> list[Figure]:
    """Return the figures that compare something."""
    return [figure for figure in report.figures if len(figure.sides) > 1]


def charts(found: Found) -> dict[str, str]:
    """Return a picture for each benchmark that compares something, by its file's name."""
    return {f"{name}.svg": picture(charted(report)) for name, report in found.reports.items() if charted(report)}


def page(found: Found, pictures: str) -> str:
    """Return the page; `pictures` is the folder of the charts, seen from it."""
    reports = list(found.reports.values())
    parts = ["# Benchmarks", _about(reports), _targets(reports), _losses(reports), METHOD]
    parts += [part for report in reports for part in _section(report, pictures, reports[0].machine)]
    return "\n\n".join(part.strip("\n") for part in [*parts, AGAIN]) + "\n"


def _about(reports: Sequence[Report]) -> str:
    machine = {name: value for name, value in reports[0].machine.items() if name != "load before"}
    days = sorted({report.started.partition(" ")[0] for report in reports})
    return (
        f"`chatbot bench` made this page from runs of {' and '.join(dict.fromkeys((days[0], days[-1])))}.\n"
        "What these figures mean for a large deployment is in [sizing.md](sizing.md).\n\n"
        + table(("machine and versions", ""), machine.items())
    )


def _targets(reports: Sequence[Report]) -> str:
    rows = [
        (report.command, heading(figure), verdict.text, number(verdict.value), "yes" if verdict.reached else "**no**")
        for report in reports
        for figure in report.figures
        for verdict in figure.verdicts
    ]
    return "## Targets\n\n" + table(("benchmark", "figure", "target", "measured", "reached"), rows)


def _losses(reports: Sequence[Report]) -> str:
    """Say where we lose. The words follow the figures: nobody chooses what is told."""
    misses = [
        f"- `{one.command}`, {heading(one.figure)}: {one.verdict.text}, measured {number(one.verdict.value)}."
        for one in missed(reports)
    ]
    return "\n\n".join((
        "## Where the project loses",
        "This list is made from the figures: every target that was missed, and every comparison in which "
        "the other side was better.",
        "### Targets that were missed", "\n".join(misses) or NONE,
        "### Others are better", _listed(losses(reports, PEERS)),
        "### What the guarantees cost",
        "The same without a store, and with an empty one: the most that could be had.",
        _listed(losses(reports, LESS)),
    ))  # fmt: skip


def _listed(found: Sequence[Loss]) -> str:
    return "\n".join(_loss(one) for one in found) or NONE


def _loss(loss: Loss) -> str:
    unit = loss.figure.unit
    ours, theirs = (f"{side.name} {number(side.median)} {unit}" for side in (loss.ours, loss.theirs))
    return f"- `{loss.command}`, {heading(loss.figure)}: {theirs}, {ours}: {number(loss.times)}x."


def _section(report: Report, pictures: str, machine: Mapping[str, str]) -> Iterator[str]:
    yield f"## {report.title}: {label(report)}"
    if charted(report):
        yield f"![Charts of {label(report)}]({pictures}/{label(report)}.svg)"
    yield table(
        ("figure", "side", "median", "lowest", "highest", "rounds"),
        (row for figure in report.figures for row in _rows(figure)),
    )
    notes = [f"- {heading(figure)}: {figure.note}." for figure in report.figures if figure.note]
    if notes:
        yield "\n".join(notes)
    yield "What was checked:\n\n" + "\n".join(f"- {check.text}" for check in report.checks)
    # Where it ran elsewhere, or on other versions, than the page says at its head.
    shown = dict(report.settings) | {name: told for name, told in report.machine.items() if machine.get(name) != told}
    shown["load before"] = report.machine.get("load before", "unknown")
    yield f"{report.started}, {report.seconds:.0f} s: " + "; ".join(f"{name} {value}" for name, value in shown.items())


def _rows(figure: Figure) -> Iterator[tuple[str, ...]]:
    title = heading(figure)
    for spreads, unit in ((figure.sides, figure.unit), (figure.ratios, "x")):
        for found in spreads:
            values = (f"{number(value)} {unit}" for value in (found.median, found.low, found.high))
            yield title, found.name, *values, str(len(found.values))
            title = ""

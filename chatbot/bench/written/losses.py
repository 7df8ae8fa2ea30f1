"""Where the project loses: targets that were missed, and every comparison in which the other side is the better one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from chatbot.bench.report import Figure, Report, Spread, Verdict

#: Other libraries, and what one writes in an afternoon.
PEERS = frozenset({"stock", "bare", "celery", "celery-once", "taskiq"})
#: The same without a guarantee, or with nothing in the store: being slower than these is a price, not a defeat.
LESS = frozenset({"no store", "empty"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """One side that is better than ours, and how many times."""

    command: str
    figure: Figure
    ours: Spread
    theirs: Spread
    times: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A target that was not reached."""

    command: str
    figure: Figure
    verdict: Verdict


def missed(reports: Iterable[Report]) -> list[Miss]:
    """Return the targets that were missed, each once."""
    found = [
        Miss(command=report.command, figure=figure, verdict=verdict)
        for report in reports
        for figure in report.figures
        for verdict in figure.verdicts
        if not verdict.reached
    ]
    return list({(one.figure.title, one.figure.broker, one.verdict.text): one for one in reversed(found)}.values())[
        ::-1
    ]


def losses(reports: Iterable[Report], others: frozenset[str]) -> list[Loss]:
    """Return where one of `others` was better, the worst first; a comparison that two benchmarks make counts once."""
    found: dict[tuple[str, ...], Loss] = {}
    for report in reports:
        for figure in report.figures:
            for loss in _of(report.command, figure, others):
                found.setdefault((figure.title, figure.broker, loss.ours.name, loss.theirs.name), loss)
    return sorted(found.values(), key=lambda loss: -loss.times)


def _of(command: str, figure: Figure, others: frozenset[str]) -> Iterator[Loss]:
    for ours in figure.sides:
        for theirs in figure.sides:
            if ours.name not in PEERS | LESS and theirs.name in others:
                times = _times(figure, ours, theirs)
                if times > 1:
                    yield Loss(command=command, figure=figure, ours=ours, theirs=theirs, times=times)


def _times(figure: Figure, ours: Spread, theirs: Spread) -> float:
    """Return how many times better theirs is: the median over the rounds, which the two sides took in turns."""
    more, less = (theirs, ours) if figure.more_is_better else (ours, theirs)
    if len(more.values) != len(less.values):
        return _ratio(more.median, less.median)
    return median(_ratio(a, b) for a, b in zip(more.values, less.values, strict=True))


def _ratio(a: float, b: float) -> float:
    return a / b if b else math.inf if a else 1.0

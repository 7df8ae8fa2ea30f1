"""brokers: everything on Redis and on RabbitMQ, side by side: the comparison that decides which one to deploy.

The two take turns, round by round; each round is a whole run of a benchmark on one of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from chatbot.bench import accept, debounce, recover, storm, wake, work
from chatbot.bench.options import BROKERS, Options
from chatbot.bench.report import Check, Figure, Report, merged, ratio, spread

ALL = (accept, wake, debounce, work, recover, storm)
#: What takes less than a minute together.
QUICK = (accept, work, storm)
#: These sides are not ours: they say nothing about which broker to choose for us.
OTHERS = {"stock", "bare", "no store"}


def run(options: Options) -> Report:
    """Measure on both, whatever the options say."""
    reports: dict[str, list[Report]] = {kind: [] for kind in BROKERS}
    for number in range(options.turns(1, 3)):
        for benchmark in QUICK if options.quick else ALL:
            for kind in BROKERS:
                options.say(f"brokers: round {number + 1}, {benchmark.__name__.rpartition('.')[2]} on {kind}")
                # The stock side is not shown here, so nobody waits for it to resume.
                quick = options.quick or benchmark is recover
                reports[kind].append(benchmark.run(replace(options, brokers=(kind,), rounds=1, quick=quick)))
    checks = [
        Check(text=f"{kind}: {one.text}", ok=one.ok)
        for kind in BROKERS
        for each in reports[kind]
        for one in each.checks
    ]
    figures = beside({kind: [figure for report in reports[kind] for figure in report.figures] for kind in BROKERS})
    settings = {name: value for report in reports["rabbitmq"] for name, value in report.settings.items()}
    return Report(
        command="brokers", title="Redis and RabbitMQ", figures=figures, checks=merged(checks), settings=settings
    )


def beside(figures: dict[str, Sequence[Figure]]) -> tuple[Figure, ...]:
    """Turn the figures of each broker into figures with a side for each broker: one for each side of ours."""
    values: defaultdict[tuple[str, str, str, bool], dict[str, list[float]]] = defaultdict(dict)
    for kind, found in figures.items():
        for figure in found:
            for side in figure.sides:
                if side.name not in OTHERS:
                    same = figure.title, side.name, figure.unit, figure.more_is_better
                    values[same].setdefault(kind, []).append(side.median)
    return tuple(
        Figure(
            title=title if name == "chatbot" else f"{title}: {name}", unit=unit, more_is_better=more,
            sides=tuple(spread(kind, of) for kind, of in by_kind.items()),
            ratios=(ratio("rabbitmq / redis", by_kind["rabbitmq"], by_kind["redis"]),),
        )
        for (title, name, unit, more), by_kind in values.items()
        if set(by_kind) == set(BROKERS)
    )  # fmt: skip

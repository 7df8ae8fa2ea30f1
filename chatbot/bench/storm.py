"""storm: ten thousand conversations fall silent within the same second.

All their windows are due at about the same time. First a worker process only hands them over, so that the queue shows
when each arrives; then another one runs all of them.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from typing import Any

from chatbot.bench.options import Options
from chatbot.bench.places import Place, counting, place, settings
from chatbot.bench.probe import Actors
from chatbot.bench.report import Check, Figure, Report, at_most, check, merged, spread
from chatbot.bench.titles import HANDED_OVER
from chatbot.bench.waiting import wait_until
from chatbot.bench.workers import probe, sending, working

#: ms. All of them are offered by then.
WAIT = 5_000
#: s. The store counts in whole ms.
TICK = 0.001


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    windows = options.pick(3_000, 10_000)
    for kind in options.brokers:
        found: dict[str, list[float]] = {"handed over": [], "run": []}
        widths: list[float] = []
        for number in range(options.turns(1, 3)):
            options.say(f"storm, {kind}: round {number + 1}")
            with place(kind) as here:
                handed, ran, width = _round(here, windows, checks)
            found["handed over"].append(handed)
            found["run"].append(ran)
            widths.append(width)
        figures.append(
            Figure(
                title=HANDED_OVER, unit="s", broker=kind,
                sides=tuple(spread(name, values) for name, values in found.items()),
                verdicts=(at_most("all handed over within 2 s", max(found["handed over"]), 2.0),),
                note=f"due within {max(widths):.2f} s",
            )
        )  # fmt: skip
    return Report(
        command="storm", title="Many windows due at once", figures=tuple(figures), checks=merged(checks),
        settings={"windows": windows, "quiet time in ms": WAIT, **settings(options.brokers)},
    )  # fmt: skip


def _round(here: Place, windows: int, checks: list[Check]) -> tuple[float, float, float]:
    """Return s until all were handed over, s until another worker had run them, and s between first and last due."""
    chosen = probe(here, "chatbot", wait=WAIT, extra=("idle",))
    with sending(chosen) as sender:
        # The pump runs in every worker process; this one has no other work.
        with working(probe(here, "chatbot", wait=WAIT, extra=("idle",), only=("idle",))):
            due = _offered(sender, windows)
            handed = _handed_over(here, due, checks)
        with working(chosen) as worker:
            began = time.time()
            events: list[Any] = worker.wait_for(windows, 300)
            ran = max(at for _, at, _ in events) - began
            wait_until(lambda: here.open_windows("bench") == 0, 30, "windows stay open")
        keys = sorted(int(key) for key, _, _ in events)
        checks.append(check("every window ran once", keys, list(range(windows))))
    return handed, ran, due[-1] - due[0]


def _offered(sender: Actors, windows: int, batch: int = 500) -> list[float]:
    """Offer a message to each window; return the earliest time at which each can be due, in order."""
    due: list[float] = []
    for start in range(0, windows, batch):
        some = range(start, min(windows, start + batch))
        messages = [sender.burst.message({"key": str(n)}) for n in some]
        due += [time.time() + WAIT / 1000] * len(some)
        sender.broker.enqueue_many(messages)
    return due


def _handed_over(here: Place, due: list[float], checks: list[Check]) -> float:
    """Watch the queue fill; return the s from the last due time until it holds all of them."""
    early = 0

    def full() -> bool:
        nonlocal early
        found = count()
        early = max(early, found - bisect_right(due, time.time() + TICK))
        return found >= len(due)

    with counting("bursts", here.broker) as count:
        wait_until(full, 60, "not all windows were handed over", 0.02)
    checks.append(check("no window was handed over early", early, 0))
    return max(0.0, time.time() - due[-1])

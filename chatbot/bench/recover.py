"""recover: a worker process is killed with calls in its hands; how long until another one runs them.

Eight calls run and more wait in the same process when it gets SIGKILL. The clock stops when the last of them has
started in another process, which was idle beside it. Turns are the same, by way of the ledger.
"""

from __future__ import annotations

import time
from typing import Any

from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.probe import Actors, Probe
from chatbot.bench.programs import Program
from chatbot.bench.report import Check, Figure, Report, at_most, check, merged, spread
from chatbot.bench.titles import RESUMED
from chatbot.bench.waiting import wait_until
from chatbot.bench.workers import probe, sending, working

THREADS, CALLS = 8, 12
#: s. A victim's calls never end by themselves.
FOR_EVER = 3_600.0
BOUNDS = {"redis": 10.0, "rabbitmq": 3.0}
SIDES = ("idempotent", "turns", "stock")


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    patience = options.pick(12, 120)
    for kind in options.brokers:
        found: dict[str, list[float]] = {side: [] for side in SIDES}
        with place(kind) as here:
            for number in range(options.turns(1, 3)):
                for side in SIDES:
                    options.say(f"recover, {kind}: round {number + 1}, {side}")
                    found[side].append(_round(here, side, number, patience, checks))
        figures.append(_figure(kind, found, patience))
    return Report(
        command="recover", title="Resuming after kill -9 of a worker", figures=tuple(figures), checks=merged(checks),
        settings={"threads": THREADS, "calls": CALLS, "s until we give up on stock": patience,
                  **settings(options.brokers)},
    )  # fmt: skip


def _round(here: Place, side: str, number: int, patience: float, checks: list[Check]) -> float:
    """Return after how many s the last of the victim's calls started again."""
    victims, heirs = _probe(here, side, FOR_EVER), _probe(here, side, 0.0)
    first = (number * len(SIDES) + SIDES.index(side)) * CALLS  # what another side left is told apart
    numbers = range(first, first + CALLS)
    with sending(victims) as sender, working(victims) as victim:
        _send(sender, side, numbers)
        victim.wait_for(THREADS)
        with working(heirs) as heir:
            time.sleep(0.5)  # it takes what the victim did not
            killed = time.time()
            victim.kill()
            resumed = {int(event[0]) for event in victim.events}
            last = _last(heir, resumed, killed, patience if side == "stock" else 60)
            if side != "stock" or last < patience:
                wait_until(lambda: len(heir.events) >= CALLS, 30, f"calls were lost: {heir}")
                ran = sorted(int(event[0]) for event in heir.events)
                checks.append(check(f"{side}: what the victim held ran once more, and once", ran, list(numbers)))
                _stop(heir)
        if side == "stock":
            sender.broker.flush_all()
    return last


def _probe(here: Place, side: str, hold: float) -> Probe:
    return probe(here, "stock" if side == "stock" else "chatbot", threads=THREADS, hold=hold)


def _send(sender: Actors, side: str, numbers: range) -> None:
    for n in numbers:
        if side == "turns":
            sender.burst.send({"key": str(n)})
        else:
            sender.single.send(n)


def _last(heir: Any, expected: set[int], killed: float, patience: float) -> float:
    """Return when the last expected call started, in s after the kill; the patience, if they never did."""

    def started() -> dict[int, float]:
        return {int(key): at for key, at, _ in list(heir.events) if int(key) in expected}

    try:
        wait_until(lambda: len(started()) == len(expected), patience, "not resumed")
    except TimeoutError:
        return patience
    return max(started().values()) - killed


def _stop(heir: Program) -> None:
    """Let it settle and acknowledge what has just started: the next side would run what it left."""
    heir.tell("stop")
    wait_until(lambda: heir.process.poll() is not None, 30, f"it does not stop: {heir}")


def _figure(kind: str, found: dict[str, list[float]], patience: float) -> Figure:
    never = max(found["stock"]) >= patience
    bound = BOUNDS[kind]
    return Figure(
        title=RESUMED, unit="s", broker=kind,
        sides=tuple(spread(side, values) for side, values in found.items()),
        verdicts=tuple(at_most(f"{side} within {bound:g} s", max(found[side]), bound) for side in SIDES[:-1]),
        note=f"stock had not resumed when we gave up after {patience:g} s" if never else "",
    )  # fmt: skip

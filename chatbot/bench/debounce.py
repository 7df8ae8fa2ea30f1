"""debounce: how long after the end of its quiet time a burst is worked on.

Bursts of two calls come at random times. Beside them plain Dramatiq runs single messages with the same delay, which
is what one would build a debounce from.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import Any

from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.programs import Program
from chatbot.bench.report import Check, Figure, Report, at_most, check, merged, percentile, ratio, spread
from chatbot.bench.titles import OVERSHOOT
from chatbot.bench.workers import SIDES, probe, sending, working

#: ms of quiet time, and bursts a second.
WAIT, RATE = 2_000, 8.0

#: Per side: how late each burst was (ms), what ran, and how many items each run had.
Rounds = dict[str, list[list[float]]]


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    rounds, bursts = options.turns(2, 5), options.pick(50, 150)
    for kind in options.brokers:
        with ExitStack() as stack:
            measured = _measured(stack, stack.enter_context(place(kind)), rounds, bursts, options, checks)
        figures += _figures(kind, measured)
    return Report(
        command="debounce", title="Ending a burst in time", figures=tuple(figures), checks=merged(checks),
        settings={"quiet time in ms": WAIT, "bursts a second": RATE, "bursts a round": bursts, "rounds": rounds,
                  **settings(options.brokers)},
    )  # fmt: skip


def _measured(stack: ExitStack, here: Place, rounds: int, bursts: int, options: Options, checks: list[Check]) -> Rounds:
    workers, senders = dict[str, Program](), dict[str, Any]()
    for side in SIDES:
        chosen = probe(here, side, wait=WAIT)
        workers[side] = stack.enter_context(working(chosen))
        senders[side] = stack.enter_context(sending(chosen))
        senders[side].single.send(-1)  # connects, and loads the scripts
        workers[side].wait_for(1)
    measured: Rounds = {side: [] for side in SIDES}
    for number in range(rounds):
        options.say(f"debounce, {here.kind}: round {number + 1} of {rounds}")
        due = _sent(senders, range(number * bursts, (number + 1) * bursts))
        for side in SIDES:
            events = workers[side].wait_for(1 + (number + 1) * bursts)[1 + number * bursts :]
            late = [(at - due[side].get(int(key), at)) * 1000 for key, at, _ in events]
            measured[side].append(late)
            size = 2 if side == "chatbot" else 1
            checks += [
                check(f"{side}: every burst ran, once and whole", sorted((int(k), n) for k, _, n in events),
                      [(i, size) for i in sorted(due[side])]),
                # A store counts in whole ms.
                Check(text=f"{side}: none ran early", ok=min(late) > -1),
            ]  # fmt: skip
    return measured


def _sent(senders: dict[str, Any], numbers: range) -> dict[str, dict[int, float]]:
    """Send bursts to both sides; return when each is due. What a call takes to arrive counts against us."""
    due: dict[str, dict[int, float]] = {side: {} for side in SIDES}
    for i in numbers:
        time.sleep(random.expovariate(RATE))
        senders["chatbot"].burst.send({"key": str(i), "number": 0})
        due["chatbot"][i] = time.time() + WAIT / 1000
        senders["chatbot"].burst.send({"key": str(i), "number": 1})
        due["stock"][i] = time.time() + WAIT / 1000
        senders["stock"].single.send_with_options(args=(i,), delay=WAIT)
    return due


def _figures(kind: str, measured: Rounds) -> list[Figure]:
    every = [ms for times in measured["chatbot"] for ms in times]
    figures = []
    for percent, bound in ((50, 5.0), (99, 20.0)):
        found = {side: [percentile(times, percent) for times in rounds] for side, rounds in measured.items()}
        figures.append(
            Figure(
                title=OVERSHOOT.format(percent), unit="ms", broker=kind,
                sides=tuple(spread(side, values) for side, values in found.items()),
                ratios=(ratio("stock / chatbot", found["stock"], found["chatbot"]),),
                verdicts=(at_most(f"chatbot's p{percent} at most {bound:g} ms", percentile(every, percent), bound),),
            )
        )  # fmt: skip
    return figures

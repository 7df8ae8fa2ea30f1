"""wake: how long an idle worker takes from `send` until the actor starts.

The pauses between two messages are long and random, so that every consumer is asleep when one comes. Beside the call
without a policy, which is what plain Dramatiq runs too, stands an idempotent one: it asks the store before it starts.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack
from typing import Any

from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.programs import Program
from chatbot.bench.report import Check, Figure, Report, at_most, check, percentile, ratio, spread
from chatbot.bench.titles import PICK_UP
from chatbot.bench.workers import probe, sending, working

SIDES = ("unguarded", "idempotent", "stock")
#: s between two messages.
SHORTEST, LONGEST = 0.2, 1.2


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    rounds, messages = options.turns(2, 5), options.pick(12, 60)
    for kind in options.brokers:
        with ExitStack() as stack:
            here = stack.enter_context(place(kind))
            measured = _measured(stack, here, rounds, messages, options)
        for side, times in measured.items():
            checks.append(check(f"{side}: every message ran once", [len(t) for t in times], [messages] * rounds))
        figures += _figures(kind, measured)
    return Report(
        command="wake", title="Waking an idle worker", figures=tuple(figures), checks=tuple(checks),
        settings={"messages a round": messages, "rounds": rounds, "s between messages": f"{SHORTEST} to {LONGEST}",
                  **settings(options.brokers)},
    )  # fmt: skip


def _measured(
    stack: ExitStack, here: Place, rounds: int, messages: int, options: Options
) -> dict[str, list[list[float]]]:
    """Return for each side and round the ms of each message."""
    workers, senders = dict[str, Program](), dict[str, Any]()
    for side in SIDES:
        chosen = probe(here, side, guarded=side == "idempotent")
        workers[side] = stack.enter_context(working(chosen))
        senders[side] = stack.enter_context(sending(chosen)).single
        senders[side].send(-1)  # connects, and loads the scripts
        workers[side].wait_for(1)
    measured = {side: list[list[float]]() for side in SIDES}
    for number in range(rounds):
        options.say(f"wake, {here.kind}: round {number + 1} of {rounds}")
        sent = {side: dict[int, float]() for side in SIDES}
        for i in range(number * messages, (number + 1) * messages):
            for side in SIDES:
                time.sleep(random.uniform(SHORTEST, LONGEST) / len(SIDES))
                sent[side][i] = time.time()
                senders[side].send(i)
        for side in SIDES:
            events = workers[side].wait_for(1 + (number + 1) * messages)
            measured[side].append([(at - sent[side][i]) * 1000 for i, at, _ in events if i in sent[side]])
    return measured


def _figures(kind: str, measured: dict[str, list[list[float]]]) -> list[Figure]:
    every = {side: [ms for times in rounds for ms in times] for side, rounds in measured.items()}
    figures = []
    for percent, bound in ((50, 2.5), (99, 10.0)):
        found = {side: [percentile(times, percent) for times in rounds] for side, rounds in measured.items()}
        figures.append(
            Figure(
                title=PICK_UP.format(percent), unit="ms", broker=kind,
                sides=tuple(spread(side, values) for side, values in found.items()),
                ratios=tuple(ratio(f"stock / {side}", found["stock"], found[side]) for side in SIDES[:-1]),
                verdicts=tuple(
                    at_most(f"{side} p{percent} at most {bound} ms", percentile(every[side], percent), bound)
                    for side in SIDES[:-1]
                ),
            )
        )  # fmt: skip
    return figures

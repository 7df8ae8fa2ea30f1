"""work: how many small calls one worker process runs a second.

Ours runs them with idempotency on, each under a claim with a lease and with its result remembered; stock runs them
unguarded. A third row is ours without a policy, and a fourth runs turns: bursts of two, from begin to settlement.
"""

from __future__ import annotations

import time
from typing import Any

from chatbot.bench.machine import cpu
from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.probe import Actors, Probe
from chatbot.bench.report import Check, Figure, Report, at_least, check, merged, ratio, spread
from chatbot.bench.titles import CALLS
from chatbot.bench.waiting import wait_until
from chatbot.bench.workers import probe, sending, working

THREADS = 8
SIDES = ("idempotent", "unguarded", "turns", "stock")


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    calls = options.pick(1_500, 5_000)
    for kind in options.brokers:
        rates: dict[str, list[float]] = {side: [] for side in SIDES}
        costs: dict[str, list[float]] = {side: [] for side in SIDES}
        with place(kind) as here:
            for number in range(options.turns(2, 7)):
                for side in SIDES:
                    options.say(f"work, {kind}: round {number + 1}, {side}")
                    rate, cost = _round(here, side, range(number * calls, (number + 1) * calls), checks)
                    rates[side].append(rate)
                    costs[side].append(cost)
        figures += _figures(kind, rates, costs)
    return Report(
        command="work", title="Working through a queue", figures=tuple(figures), checks=merged(checks),
        settings={"calls a round": calls, "threads": THREADS, "the actor": "does nothing", **settings(options.brokers)},
    )  # fmt: skip


def _probe(here: Place, side: str) -> Probe:
    if side == "stock":
        return probe(here, "stock", threads=THREADS)
    return probe(here, "chatbot", threads=THREADS, guarded=side != "unguarded", wait=1_000, max_items=2)


def _round(here: Place, side: str, numbers: range, checks: list[Check]) -> tuple[float, float]:
    """Fill the queue, then let a new worker process empty it. Return calls a second, and µs of its processor time."""
    chosen = _probe(here, side)
    with sending(chosen) as sender:
        if side == "turns":
            _offer(sender, numbers)
        else:
            _fill(here, sender, chosen, numbers)
    with working(chosen) as worker:
        before = cpu(worker.pid)
        events = worker.wait_for(len(numbers), 300)
        used = cpu(worker.pid) - before
        times = [at for _, at, _ in events]
        checks.append(check(f"{side}: every call ran once", sorted(int(n) for n, _, _ in events), list(numbers)))
        _drained(here, chosen)
    return len(numbers) / (max(times) - min(times)), used / len(numbers) * 1e6


def _fill(here: Place, sender: Actors, chosen: Probe, numbers: range) -> None:
    messages = [sender.single.message(n) for n in numbers]
    _in_batches(sender, messages) if chosen.side != "stock" else _one_by_one(sender, messages)
    url = here.stock if chosen.side == "stock" else here.broker
    wait_until(lambda: here.waiting(sender.single.queue_name, url) == len(numbers), 30, "the queue was not filled")


def _offer(sender: Actors, numbers: range) -> None:
    """Two calls a window: with `max_items`, it is full and due at once."""
    _in_batches(sender, [sender.burst.message({"key": str(n), "part": part}) for n in numbers for part in (0, 1)])


def _in_batches(sender: Actors, messages: list[Any], size: int = 500) -> None:
    for start in range(0, len(messages), size):
        sender.broker.enqueue_many(messages[start : start + size])


def _one_by_one(sender: Actors, messages: list[Any]) -> None:
    for message in messages:
        sender.broker.enqueue(message)


def _drained(here: Place, chosen: Probe) -> None:
    """Wait until the last calls are settled and acknowledged: the next side must not meet them."""
    url = here.stock if chosen.side == "stock" else here.broker
    queue = f"{chosen.side}_singles"
    if chosen.side != "stock":
        wait_until(lambda: here.open_windows("bench") == 0, 30, "windows stay open")
    wait_until(lambda: here.waiting(queue, url) == 0, 30, "the queue is not drained")
    time.sleep(0.2)


def _figures(kind: str, rates: dict[str, list[float]], costs: dict[str, list[float]]) -> list[Figure]:
    guarded = ratio("idempotent / stock", rates["idempotent"], rates["stock"])
    return [
        Figure(
            title=CALLS, unit="/s", more_is_better=True, broker=kind,
            sides=tuple(spread(side, values) for side, values in rates.items()),
            ratios=tuple(ratio(f"{side} / stock", rates[side], rates["stock"]) for side in SIDES[:-1]),
            verdicts=(at_least("idempotent at least 1.0x stock", guarded.median, 1.0),),
        ),
        Figure(
            title="processor time of the worker process for a call", unit="µs", broker=kind,
            sides=tuple(spread(side, values) for side, values in costs.items()),
            ratios=tuple(ratio(f"{side} / stock", costs[side], costs["stock"]) for side in SIDES[:-1]),
        ),
    ]  # fmt: skip

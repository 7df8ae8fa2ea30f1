"""accept: how many signed webhooks a second one web process takes, all three guarantees on.

Beside it, in turns, stand the same endpoint without any store, which is the most that this server could do, and the
endpoint that one writes in an afternoon: verify, then `send` in a thread, with plain Dramatiq.
"""

from __future__ import annotations

from contextlib import ExitStack

from chatbot.bench.load import Answers
from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.programs import service
from chatbot.bench.report import Check, Figure, Report, at_least, at_most, check, merged, ratio, spread
from chatbot.bench.titles import ACCEPTED
from chatbot.bench.web import Endpoint, other_endpoint, service_endpoint

CONNECTIONS = 64


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    for kind in options.brokers:
        with ExitStack() as stack:
            here = stack.enter_context(place(kind))
            ours = service_endpoint(stack, service(here.store, here.broker))
            sides = [ours, other_endpoint(stack, "no store"), other_endpoint(stack, "bare", here.stock)]
            found = {side.name: list[Answers]() for side in sides}
            costs = {side.name: list[float]() for side in sides}
            for number in range(options.turns(3, 7)):
                for side in sides:
                    options.say(f"accept, {kind}: round {number + 1}, {side.name}")
                    checks += _round(here, side, found[side.name], f"r{number}", options.pick(1, 3))
                    costs[side.name].append(side.cost)
            figures += _figures(kind, found, costs)
    return Report(
        command="accept", title="Accepting signed webhooks", figures=tuple(figures), checks=merged(checks),
        settings={"connections": CONNECTIONS, "messages in a webhook": 1, "messages in a conversation": 5,
                  "seconds a round": options.pick(1, 3), **settings(options.brokers)},
    )  # fmt: skip


def _round(here: Place, side: Endpoint, found: list[Answers], tag: str, seconds: float) -> list[Check]:
    if not side.rate:
        side.round(seconds / 4, f"{tag}-first")
    here.server.flush()
    before = _sent(here, side)
    answers = side.round(seconds, tag)
    found.append(answers)
    count = sum(answers.statuses.values())
    return [
        check(f"{side.name}: every webhook is answered 200", answers.statuses, {"200": count}),
        check(f"{side.name}: every message is accepted, none is taken for a duplicate",
              (answers.accepted, answers.duplicates), (count, 0)),
        *_arrived(here, side, count, before),
    ]  # fmt: skip


def _sent(here: Place, side: Endpoint) -> int:
    return here.waiting("bare", here.stock) if side.name == "bare" else 0


def _arrived(here: Place, side: Endpoint, count: int, before: int) -> list[Check]:
    """What was answered 200 must be there."""
    if side.name == "chatbot":
        windows = -(-count // 5)
        return [check("chatbot: every conversation has its window in the ledger", here.open_windows(), windows)]
    if side.name == "bare":
        return [check("bare: every message is in its queue", _sent(here, side) - before, count)]
    return []


def _figures(kind: str, found: dict[str, list[Answers]], costs: dict[str, list[float]]) -> list[Figure]:
    rates = {name: [a.rate for a in answers] for name, answers in found.items()}
    slow = {name: [a.p99 for a in answers] for name, answers in found.items()}
    bare = ratio("chatbot / bare", rates["chatbot"], rates["bare"])
    free = ratio("chatbot / no store", rates["chatbot"], rates["no store"])
    late = ratio("chatbot / no store", slow["chatbot"], slow["no store"])
    return [
        Figure(
            title=ACCEPTED, unit="/s", more_is_better=True, broker=kind,
            sides=tuple(spread(name, values) for name, values in rates.items()), ratios=(bare, free),
            verdicts=(
                at_least("at least 5x bare", bare.median, 5),
                at_least("at least 0.6x no store", free.median, 0.6),
            ),
        ),
        Figure(
            title=f"time to the answer, p99 of {CONNECTIONS} connections", unit="ms", broker=kind,
            sides=tuple(spread(name, values) for name, values in slow.items()), ratios=(late,),
            verdicts=(at_most("below 5x no store", late.median, 5),),
        ),
        Figure(
            title="processor time of the web process for a webhook", unit="µs", broker=kind,
            sides=tuple(spread(name, values) for name, values in costs.items()),
            ratios=(ratio("chatbot / no store", costs["chatbot"], costs["no store"]),
                    ratio("chatbot / bare", costs["chatbot"], costs["bare"])),
        ),
    ]  # fmt: skip

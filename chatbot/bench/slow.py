"""slow: many answers that take five seconds each, in one worker process, and one that must not wait for them.

A responder that blocks keeps a thread for each answer; an async one keeps it too, but runs on one event loop. Both are
measured: how long all of them take, and what each costs in memory.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

from chatbot.bench.machine import rss
from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.programs import Program
from chatbot.bench.report import Check, Figure, Report, at_most, check, merged, spread
from chatbot.bench.respond import SLOW
from chatbot.bench.titles import SLOW_ANSWER
from chatbot.bench.waiting import wait_until
from chatbot.bench.whole import Receiver, environment, receiver, worker
from chatbot.model import InboundMessage
from chatbot.service import Service, build

#: Threads beyond those that the slow answers keep.
SPARE = 8
RESPONDERS = {"threads": "slow", "event loop": "slow_async"}
KILOBYTE = 1_000


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    for kind in options.brokers:
        for calls in (100,) if options.quick else (100, 1_000):
            found = {}
            for name, function in RESPONDERS.items():
                options.say(f"slow, {kind}: {calls} answers of {SLOW:g} s, {name}")
                with ExitStack() as stack:
                    here = stack.enter_context(place(kind))
                    found[name] = _measured(stack, here, calls, f"chatbot.bench.respond:{function}", checks)
            figures += _figures(kind, calls, found)
    return Report(
        command="slow", title="Slow answers at the same time", figures=tuple(figures), checks=merged(checks),
        settings={"s an answer takes": SLOW, "threads": f"answers + {SPARE}", **settings(options.brokers)},
    )  # fmt: skip


def _measured(stack: ExitStack, here: Place, calls: int, responder: str, checks: list[Check]) -> dict[str, float]:
    """Return s until all answers were received, s for the quick one, and bytes of memory an answer."""
    replies = receiver(stack)
    env = environment(here, replies, CHATBOT_RESPONDER=responder, CHATBOT_DEBOUNCE_WAIT_MS="0")
    service = build(env)
    stack.callback(service.close)
    process = worker(stack, env, "--threads", str(calls + SPARE))
    _admit(service, "at once", "first")
    wait_until(lambda: replies.counts("first")["has"], 30, "the worker does not answer")
    idle, started = rss(process.pid), time.time()
    # Together, as the web process admits what comes at the same time.
    _admit(service, "take your time", *(f"slow{n}" for n in range(calls)))
    offered = time.time()
    wait_until(lambda: time.time() > offered + SLOW / 2, 2 * SLOW)
    quick = _quick(service, replies)
    used = _until_all(process, replies, calls + 2)
    counts = replies.counts()
    checks.append(check("each is answered once", (counts["messages"], counts["twice"]), (calls + 2, 0)))
    return {"all": counts["last"] - started, "quick": quick, "memory": (used - idle) / calls / KILOBYTE}


def _admit(service: Service, text: str, *names: str) -> None:
    service.admit([
        InboundMessage(channel="generic", conversation_id=name, message_id=name, dedupe_key=name, text=text)
        for name in names
    ])  # fmt: skip


def _quick(service: Service, replies: Receiver) -> float:
    """Return how long somebody waits for a quick answer meanwhile."""
    sent = time.time()
    _admit(service, "at once", "quick")
    wait_until(lambda: replies.counts("quick")["has"], 60, "the quick answer never came")
    return time.time() - sent


def _until_all(process: Program, replies: Receiver, expected: int) -> float:
    """Wait for the replies; return the most memory that the process had in use meanwhile."""
    most = 0

    def all_there() -> bool:
        nonlocal most
        most = max(most, rss(process.pid))
        return bool(replies.counts()["replies"] >= expected)

    wait_until(all_there, 120, "answers are missing", 0.05)
    return most


def _figures(kind: str, calls: int, found: dict[str, dict[str, float]]) -> list[Figure]:
    def figure(title: str, unit: str, what: str, bound: float = 0.0) -> Figure:
        values = {name: measured[what] for name, measured in found.items()}
        verdicts = [at_most(f"{name} within {bound:g} {unit}", value, bound) for name, value in values.items()]
        return Figure(
            title=title, unit=unit, broker=kind, sides=tuple(spread(name, [value]) for name, value in values.items()),
            verdicts=tuple(verdicts) if bound else (),
        )  # fmt: skip

    return [
        figure(f"until {calls} slow answers are received", "s", "all", 2 * SLOW),
        figure(f"a quick answer beside {calls} slow ones", "s", "quick", 1.0),
        figure(SLOW_ANSWER.format(calls), "kB", "memory"),
    ]

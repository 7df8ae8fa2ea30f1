"""soak: a million webhooks, three of ten of them repeated, through a whole service; nothing lost, and memory flat.

What a webhook costs each process is counted from end to end: from this follows what a large deployment needs.

The sender waits when too much is open, so the service works at its own pace from end to end. A round is 100,000 of
them.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from statistics import median

from chatbot.bench.load import Load, numbers
from chatbot.bench.machine import cpu_of_family, rss
from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.programs import SECRET, Program
from chatbot.bench.report import Check, Figure, Report, at_most, check, merged, spread
from chatbot.bench.titles import COST, WEB_MEMORY, WORKER_MEMORY
from chatbot.bench.waiting import wait_until
from chatbot.bench.web import Endpoint, service_endpoint
from chatbot.bench.whole import Receiver, environment, receiver, worker

REPEATED = 0.3
#: Webhooks of one load, and open conversations above which the sender waits.
SLICE, MOST_OPEN = 5_000, 2_000
QUIET = {"CHATBOT_DEBOUNCE_WAIT_MS": "300", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "2000"}
MEGABYTE = 1_000_000


def run(options: Options) -> Report:
    """Measure on each broker."""
    figures: list[Figure] = []
    checks: list[Check] = []
    webhooks = options.turns(1, 10) * options.pick(10_000, 100_000)
    for kind in options.brokers:
        with ExitStack() as stack:
            figures += _soaked(stack, stack.enter_context(place(kind, apart=True)), webhooks, options, checks)
    return Report(
        command="soak", title="A long run of the whole service", figures=tuple(figures), checks=merged(checks),
        settings={"webhooks": webhooks, "share of repetitions": REPEATED, "open conversations at most": MOST_OPEN,
                  **QUIET, **settings(options.brokers)},
    )  # fmt: skip


def _soaked(stack: ExitStack, here: Place, webhooks: int, options: Options, checks: list[Check]) -> list[Figure]:
    replies = receiver(stack)
    env = environment(here, replies, **QUIET)
    web = service_endpoint(stack, env)
    processes = {"web": web.program, "worker": worker(stack, env, "--threads", "16")}
    memory: dict[str, list[float]] = {name: [] for name in processes}
    pids = {name: program.pid for name, program in processes.items()}
    pids |= {"store": here.server.pid, "broker": here.broker_server.pid}
    before = {name: cpu_of_family(pid) for name, pid in pids.items()}
    started, fresh = time.time(), 0
    for start in range(0, webhooks, SLICE):
        options.say(f"soak, {here.kind}: {start:,} of {webhooks:,} webhooks")
        fresh += _slice(web, min(SLICE, webhooks - start), f"s{start}", checks)
        wait_until(lambda: here.open_windows() < MOST_OPEN, 600, "the worker does not keep up", 0.1)
        _weigh(processes, memory)
    _all_answered(here, replies, fresh, checks)
    _weigh(processes, memory)
    seconds = replies.counts()["last"] - started
    costs = {name: (cpu_of_family(pid) - before[name]) / webhooks * 1e6 for name, pid in pids.items()}
    return [
        _rate(here.kind, webhooks / seconds),
        _cost(here.kind, costs),
        *(_growth(here.kind, name, held) for name, held in memory.items()),
    ]


def _slice(web: Endpoint, count: int, tag: str, checks: list[Check]) -> int:
    """Send webhooks; return how many messages were new."""
    fresh = len(set(numbers(Load(port=0, secret=SECRET, count=count, tag=tag, repeated=REPEATED))))
    answers = web.load(count, tag, REPEATED)
    found = (answers.statuses, answers.accepted, answers.duplicates)
    checks.append(check("every webhook is answered 200, as new or as a duplicate", found,
                        ({"200": count}, fresh, count - fresh)))  # fmt: skip
    return fresh


def _all_answered(here: Place, replies: Receiver, fresh: int, checks: list[Check]) -> None:
    try:
        wait_until(lambda: here.open_windows() == 0, 600, "conversations stay open", 0.1)
    finally:
        counts = replies.counts()
    checks.append(check("every message is named by a reply", counts["messages"], fresh))
    checks.append(check("no message is named by two, and no reply came twice", counts["twice"] + counts["repeated"], 0))


def _weigh(processes: dict[str, Program], memory: dict[str, list[float]]) -> None:
    for name, program in processes.items():
        memory[name].append(rss(program.pid) / MEGABYTE)


def _rate(kind: str, rate: float) -> Figure:
    sides = (spread("chatbot", [rate]),)
    return Figure(title="webhooks, answered to the end", unit="/s", more_is_better=True, broker=kind, sides=sides)


def _cost(kind: str, costs: dict[str, float]) -> Figure:
    return Figure(
        title=COST, unit="µs", broker=kind,
        sides=tuple(spread(name, [cost]) for name, cost in costs.items()),
    )  # fmt: skip


def _growth(kind: str, name: str, held: list[float]) -> Figure:
    """Compare the last quarter with the second one: the first is when everything is loaded."""
    quarter = max(1, len(held) // 4)
    growth = median(held[-quarter:]) / median(held[quarter : 2 * quarter])
    return Figure(
        title={"web": WEB_MEMORY, "worker": WORKER_MEMORY}[name], unit="MB", broker=kind, sides=(spread(name, held),),
        verdicts=(at_most("last quarter at most 1.05x the second", growth, 1.05),),
    )  # fmt: skip

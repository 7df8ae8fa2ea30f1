"""start: from the start of a process until it is of use, and what an idle worker asks of its broker."""

from __future__ import annotations

import compileall
import contextlib
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.programs import Program, service
from chatbot.bench.report import Check, Figure, Report, at_most, check, merged, ratio, spread
from chatbot.bench.servers import free_port
from chatbot.bench.waiting import wait_until
from chatbot.bench.web import answers
from chatbot.bench.whole import working
from chatbot.bench.workers import probe
from chatbot.bench.workers import working as probing

#: The service's queues; stock gets as many.
QUEUES = ("default", "high", "low")


def run(options: Options) -> Report:
    """Measure on each broker."""
    # As an installer does: each start of a checkout that keeps no bytecode would compile the package again.
    compileall.compile_dir(Path(__file__).parent.parent, quiet=2)
    figures: list[Figure] = []
    checks: list[Check] = []
    rounds = options.turns(3, 10)
    for kind in options.brokers:
        with place(kind) as here:
            figures += _starts(here, rounds, options, checks)
            if kind == "redis":
                figures.append(_idle(here, options))
    return Report(
        command="start", title="Starting, and being idle", figures=tuple(figures), checks=merged(checks),
        settings={"rounds": rounds, **settings(options.brokers)},
    )  # fmt: skip


def _starts(here: Place, rounds: int, options: Options, checks: list[Check]) -> list[Figure]:
    env = service(here.store, here.broker, CHATBOT_LOG_LEVEL="info")
    found: dict[str, list[float]] = {"chatbot --help": [], "web": [], "worker": [], "python": []}
    for number in range(rounds):
        options.say(f"start, {here.kind}: round {number + 1} of {rounds}")
        found["python"].append(_timed("-c", "pass"))
        found["chatbot --help"].append(_timed("-m", "chatbot", "--help"))
        found["web"].append(_web(env))
        found["worker"].append(_worker(env))
    checks.append(check("every process came up", [len(times) for times in found.values()], [rounds] * len(found)))
    sides = {name: spread(name, times) for name, times in found.items()}
    return [
        Figure(
            title="from the start of a process until it is of use", unit="s", broker=here.kind,
            sides=tuple(sides.values()),
            verdicts=(
                at_most("chatbot --help below 0.25 s", sides["chatbot --help"].median, 0.25),
                at_most("web ready within 1 s", sides["web"].median, 1.0),
                at_most("worker ready within 1.5 s", sides["worker"].median, 1.5),
            ),
        )
    ]  # fmt: skip


def _timed(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, timeout=30)
    return time.perf_counter() - started


def _web(env: dict[str, str]) -> float:
    port, started = free_port(), time.perf_counter()
    with Program("-m", "chatbot", "web", "--port", str(port), env=env) as program:
        wait_until(lambda: answers(port, program), 30, f"the web process does not answer: {program}", 0.002)
        return time.perf_counter() - started


def _worker(env: dict[str, str]) -> float:
    started = time.perf_counter()
    with Program("-m", "chatbot", "worker", env=env) as program:
        wait_until(lambda: working(program), 30, f"the worker does not start: {program}", 0.002)
        return time.perf_counter() - started


def _idle(here: Place, options: Options) -> Figure:
    """Count what clients send to the server while nothing is to do. The pump and the broker share the server here."""
    seconds = options.pick(6, 30)
    asked: dict[str, list[float]] = {}
    for side in ("chatbot", "stock"):
        options.say(f"start, {here.kind}: {side} is idle for {seconds} s")
        with ExitStack() as stack:
            if side == "chatbot":
                env = service(here.store, here.broker, CHATBOT_LOG_LEVEL="info")
                program = stack.enter_context(Program("-m", "chatbot", "worker", env=env))
                wait_until(lambda running=program: working(running), 30, "the worker does not start")  # type: ignore[misc]
            else:
                stack.enter_context(probing(probe(here, "stock", extra=QUEUES[1:])))
            time.sleep(2)  # connecting is over
            asked[side] = [_calls(here.store, seconds) / seconds / len(QUEUES)]
    return Figure(
        title="calls of an idle worker process, for each queue", unit="/s", broker=here.kind,
        sides=tuple(spread(side, values) for side, values in asked.items()),
        ratios=(ratio("chatbot / stock", asked["chatbot"], asked["stock"]),),
        verdicts=(at_most("chatbot at most 1 a queue", asked["chatbot"][0], 1.0),),
    )  # fmt: skip


def _calls(url: str, seconds: float) -> int:
    """Return how many commands came from clients; those of scripts are the server's own business."""
    with contextlib.closing(redis.Redis.from_url(url)) as client, client.monitor() as monitor:
        client.ping()
        started, count = time.monotonic(), 0
        while time.monotonic() - started < seconds:
            if monitor.connection is not None and monitor.connection.can_read(timeout=0.1):
                count += monitor.next_command()["client_type"] != "lua"
        return count - 1

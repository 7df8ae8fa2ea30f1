"""peers: the same work on other libraries, in one run: small calls, the wake-up of an idle worker, delayed calls.

Plain Dramatiq is always there; Celery (with celery-once, which also refuses duplicates) and taskiq take part where
they are installed, which the extra `bench` does. Each has one worker process, on the same Redis, in a database of its
own. The way in, beside bare Starlette with `send`, is what `accept` measures.
"""

from __future__ import annotations

import random
import time
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from chatbot.bench import accept
from chatbot.bench.options import Options
from chatbot.bench.places import Place, place, settings
from chatbot.bench.probe import Probe, declared
from chatbot.bench.programs import Program
from chatbot.bench.report import Check, Figure, Report, check, merged, percentile, ratio, spread
from chatbot.bench.titles import CALLS, PICK_UP
from chatbot.bench.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: The packages that a peer needs, and the module that knows how to use them.
PEERS = {
    "chatbot": ((), "chatbot.bench.probe"),
    "stock": ((), "chatbot.bench.probe"),
    "celery": (("celery",), "chatbot.bench.celery_peer"),
    "celery-once": (("celery", "celery_once"), "chatbot.bench.celery_peer"),
    "taskiq": (("taskiq", "taskiq_redis"), "chatbot.bench.taskiq_peer"),
}
#: ms of the delayed calls.
DELAY = 1_000
PAUSE = (0.3, 1.0)
#: Idempotent calls have numbers of their own: one that ran before would not run again.
FRESH = 10_000_000


class Sender(Protocol):
    """One library's way to send."""

    def send(self, number: int) -> None:
        """Send a call that runs now."""

    def send_later(self, number: int, delay: int) -> bool:
        """Send a call that runs after so many ms; False if the library cannot without a further process."""

    def close(self) -> None:
        """Give back connections."""


class DramatiqSender:
    """Ours and plain Dramatiq. What is delayed is a window with us, and a delayed message there."""

    def __init__(self, probe: Probe) -> None:
        self._actors = declared(probe, lambda _: None)

    def send(self, number: int) -> None:
        self._actors.single.send(number)

    def send_later(self, number: int, delay: int) -> bool:
        if self._actors.burst is not None:
            self._actors.burst.send({"key": str(number)})
        else:
            self._actors.single.send_with_options(args=(number,), delay=delay)
        return True

    def close(self) -> None:
        self._actors.broker.close()


def installed() -> list[str]:
    """Return the peers that can take part."""
    return [name for name, (packages, _) in PEERS.items() if all(find_spec(package) for package in packages)]


def run(options: Options) -> Report:
    """Measure on Redis, where all of them are at home."""
    names, checks = installed(), list[Check]()
    calls, samples, rounds = options.pick(500, 3_000), options.pick(8, 100), options.turns(2, 5)
    with place("redis") as here:
        rates = _rates(here, names, calls, rounds, options, checks)
        woken, late = _woken(here, names, samples, options, checks)
    figures = [
        _figure(CALLS, "/s", rates),
        *(_figure(PICK_UP.format(p), "ms", {n: [percentile(v, p)] for n, v in woken.items()})
          for p in (50, 99)),
        *(_figure(f"start after a delay of {DELAY} ms, p{p} too late", "ms",
                  {n: [percentile(v, p)] for n, v in late.items()}) for p in (50, 99)),
    ]  # fmt: skip
    way_in = accept.run(options)
    return Report(
        command="peers", title="The same work on other libraries", figures=(*way_in.figures, *figures),
        checks=(*way_in.checks, *merged(checks)),
        settings={"calls a round": calls, "rounds": rounds, "messages to idle workers": samples, "threads": 8,
                  "missing": ", ".join(set(PEERS) - set(names)) or "none", **settings(())},
    )  # fmt: skip


def _rates(
    here: Place, names: list[str], calls: int, rounds: int, options: Options, checks: list[Check]
) -> dict[str, list[float]]:
    """Fill a queue, then let a new worker empty it; return the calls a second of each round."""
    rates: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        for place_, name in enumerate(names):
            options.say(f"peers: calls, round {number + 1}, {name}")
            numbers, chosen = range(number * calls, (number + 1) * calls), _probe(here, name, place_)
            with _sending(chosen) as sender:
                for n in numbers:
                    sender.send(n)
            with _working(chosen) as worker:
                times = [at for _, at, _ in worker.wait_for(calls, 300)]
                time.sleep(0.5)  # what is done is acknowledged, and what ran twice has told
                ran = sorted(n for n, _, _ in worker.events)
                checks.append(check(f"{name}: every call ran once", ran, list(numbers)))
            rates[name].append(calls / (max(times) - min(times)))
    return rates


def _woken(
    here: Place, names: list[str], samples: int, options: Options, checks: list[Check]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Send to workers that are idle, now and later; return how many ms each took to start, and was too late."""
    now, later = dict[str, list[float]](), dict[str, list[float]]()
    with ExitStack() as stack:
        sides = {}
        for place_, name in enumerate(names):
            chosen = _probe(here, name, place_)
            sides[name] = (stack.enter_context(_working(chosen)), stack.enter_context(_sending(chosen)))
            sides[name][1].send(-1)
            sides[name][0].wait_for(1)
        options.say(f"peers: {samples} messages to idle workers")
        sent = _sent(sides, range(FRESH, FRESH + samples), lambda sender, n: sender.send(n))
        due = _sent(sides, range(2 * FRESH, 2 * FRESH + samples), lambda sender, n: sender.send_later(n, DELAY))
        for name, (worker, _) in sides.items():
            numbers = {**sent[name], **{n: at + DELAY / 1000 for n, at in due[name].items()}}
            events = _started(worker, numbers)
            ran = sorted(int(key) for key, _, _ in worker.events)
            checks.append(check(f"{name}: every message ran once", ran, [-1, *sorted(numbers)]))
            now[name] = [(events[n] - at) * 1000 for n, at in numbers.items() if n in sent[name]]
            if due[name]:
                later[name] = [(events[n] - at) * 1000 for n, at in numbers.items() if n in due[name]]
    return now, later


def _started(worker: Program, numbers: dict[int, float]) -> dict[int, float]:
    """Wait until each has run; return when each ran last."""

    def ran() -> dict[int, float]:
        return {int(key): at for key, at, _ in list(worker.events)}

    wait_until(lambda: numbers.keys() <= ran().keys(), 60, f"{worker}: messages are missing")
    return ran()


def _sent(
    sides: dict[str, tuple[Program, Sender]], numbers: range, send: Callable[[Sender, int], object]
) -> dict[str, dict[int, float]]:
    """Send to each side in turn, with pauses in which all of them fall asleep; return when each was sent."""
    sent: dict[str, dict[int, float]] = {name: {} for name in sides}
    for n in numbers:
        for name, (_, sender) in sides.items():
            time.sleep(random.uniform(*PAUSE) / len(sides))
            at = time.time()
            if send(sender, n) is not False:
                sent[name][n] = at
    return sent


def _probe(here: Place, name: str, number: int) -> Probe:
    return Probe(side=name, broker=here.broker_of(1 + number), store=here.store, wait=DELAY)


@contextmanager
def _sending(chosen: Probe) -> Iterator[Sender]:
    sender = _sender(chosen)
    try:
        yield sender
    finally:
        sender.close()


def _sender(chosen: Probe) -> Sender:
    match chosen.side:
        case "celery" | "celery-once":
            from chatbot.bench.celery_peer import CelerySender

            return CelerySender(chosen)
        case "taskiq":
            from chatbot.bench.taskiq_peer import TaskiqSender

            return TaskiqSender(chosen)
    return DramatiqSender(chosen)


@contextmanager
def _working(chosen: Probe) -> Iterator[Program]:
    with Program("-m", PEERS[chosen.side][1], spec=msgspec.to_builtins(chosen)) as program:
        program.ready()
        yield program


def _figure(title: str, unit: str, values: dict[str, list[Any]]) -> Figure:
    return Figure(
        title=title, unit=unit, more_is_better=unit == "/s", broker="redis",
        sides=tuple(spread(name, found) for name, found in values.items()),
        ratios=tuple(
            ratio(f"{name} / chatbot", found, values["chatbot"]) for name, found in values.items() if name != "chatbot"
        ),
    )  # fmt: skip

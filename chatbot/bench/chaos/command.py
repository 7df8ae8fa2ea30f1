"""`chatbot bench chaos`: a deployment, people who talk to it, one misfortune after the other, and the judgement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import click
import msgspec

from chatbot.bench.chaos.crew import Crew
from chatbot.bench.chaos.faults import FAULTS, Misfortune
from chatbot.bench.chaos.report import Report, problems, recoveries, words
from chatbot.bench.chaos.traffic import Traffic
from chatbot.bench.chaos.verdict import answer, completed, judge, unanswered
from chatbot.bench.deployment import Deployment, broker_of
from chatbot.bench.partners import Partners
from chatbot.bench.servers import MissingServerError, RedisServer, find_store
from chatbot.bench.waiting import wait_until
from chatbot.errors import ConfigurationError

#: The service's times, in s.
WAIT, MAX_WAIT = 0.4, 1.2
#: No turn is given up: nobody but the faults makes one fail.
SETTINGS = {
    "CHATBOT_DEBOUNCE_WAIT_MS": "400",
    "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "1200",
    "CHATBOT_TURN_ATTEMPTS": "50",
    "CHATBOT_DELIVERY_ATTEMPTS": "50",
}
#: s between two bodies of one conversation, for each conversation there is: a machine takes so many a second.
RATE = 0.015
#: s after the last fault within which everything must be accepted, and then answered.
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. `faults` are the only ones that strike; empty: all of them."""

    broker: str = "redis"
    conversations: int = 200
    seconds: float = 120.0
    seed: int = 1
    faults: tuple[str, ...] = ()
    json: bool = False


def chaos(options: Options) -> int:
    """Run and print; return 0 if nothing was lost, doubled, reordered or left behind, else 1."""
    try:
        report = run(options)
    except MissingServerError as exc:
        raise ConfigurationError(str(exc)) from exc
    click.echo(msgspec.json.encode(report).decode() if options.json else words(report))
    return 0 if report.ok else 1


def run(options: Options) -> Report:
    """Start everything, let people talk while it breaks, wait until all is answered, and judge."""
    with ExitStack() as stack:
        store, broker = RedisServer(find_store()), broker_of(options.broker)
        for server in (store, broker):
            stack.enter_context(server)
        partners = stack.enter_context(Partners(answer))
        house = stack.enter_context(Deployment(store, broker, partners, dict(SETTINGS)))
        crew = stack.enter_context(Crew(house))
        slow = max(1.2, options.conversations * RATE)
        misfortune = Misfortune(crew, options.seed, options.faults or tuple(FAULTS), _say(options))
        with Traffic(house.url, conversations=options.conversations, seed=options.seed, pace=(0.1, slow)) as traffic:
            misfortune.strike(options.seconds, threading.Event())
            traffic.finish(PATIENCE)
            _settle(house, traffic)
        return _report(options, misfortune, traffic, house)


def _settle(house: Deployment, traffic: Traffic) -> None:
    """Wait until everything is answered; what is not by then is lost."""
    deadline = time.monotonic() + PATIENCE
    for over in (lambda: not unanswered(traffic, house.partners), lambda: not house.open_keys()):
        try:
            wait_until(over, max(0.0, deadline - time.monotonic()), interval=0.2)
        except TimeoutError:
            return


def _report(options: Options, misfortune: Misfortune, traffic: Traffic, house: Deployment) -> Report:
    verdict = judge(traffic, house.partners, wait=WAIT, max_wait=MAX_WAIT)
    recovered = recoveries(misfortune.struck, traffic, completed(house.partners))
    left_open = house.open_keys() + house.keys_without_ttl()
    return Report(
        broker=options.broker,
        conversations=options.conversations,
        seconds=options.seconds,
        seed=options.seed,
        accepted=verdict.accepted,
        turns=verdict.turns,
        replies=verdict.replies,
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        reordered=len(verdict.reordered),
        early=len(verdict.early),
        wrong_answers=len(verdict.wrong),
        doubled_replies=len(verdict.repeated),
        left_open=len(left_open),
        worst_recovery=max((one.worst for one in recovered.values()), default=0.0),
        faults=recovered,
        revived=len(misfortune.crew.revived),
        answers=dict(traffic.answers),
        problems=problems(verdict, left_open),
    )


def _say(options: Options) -> Callable[[str], None]:
    """Return what tells of each fault as it strikes: on standard error, as the report goes to standard output."""
    began = time.monotonic()

    def say(text: str) -> None:
        if not options.json:
            click.echo(f"{time.monotonic() - began:6.1f} s  {text}", err=True)

    return say

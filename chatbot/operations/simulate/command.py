"""`chatbot simulate`: what people and providers do to a running service, and whether it answers as it should.

It speaks only HTTP: signed webhooks in, replies out. It knows what it sent, so it knows what must come back: each
burst was played within the service's quiet time, so it is one turn, whose replies come once and in order.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import msgspec

from chatbot.errors import ConfigurationError
from chatbot.operations.simulate.delivery import Postman, client, must_answer
from chatbot.operations.simulate.plan import Plan, make
from chatbot.operations.simulate.plan import crowd as crowd_of
from chatbot.operations.simulate.play import Player, Tempo
from chatbot.operations.simulate.progress import Progress
from chatbot.operations.simulate.provider import Provider, provider, secret_of
from chatbot.operations.simulate.receiver import Listen, Poll, Source, sort_in
from chatbot.operations.simulate.record import Talk
from chatbot.operations.simulate.report import Report, report
from chatbot.operations.simulate.verdict import Expected
from chatbot.operations.simulate.words import words
from chatbot.settings import Settings
from chatbot.web.outbox import Outbox

#: s by which the pause is longer than the service's quiet time, unless given.
BEYOND = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says. Empty, None: not given. `timeout` and `pause` are in s."""

    url: str
    channel: str
    conversations: int
    messages: int
    bursts: int
    rate: float
    seed: int
    state: Path
    timeout: float
    pause: float | None = None
    secret: str = ""
    listen: str = ""
    json: bool = False


def simulate(options: Options, variables: Mapping[str, str]) -> int:
    """Play bursts and print what came of them; return 0 if all is well, else 1. Raises ConfigurationError."""
    wait, max_wait = _ms(variables, "debounce_wait_ms") / 1000, _ms(variables, "debounce_max_wait_ms") / 1000
    expected = Expected(wait=wait, max_wait=max_wait, timeout=options.timeout)
    _check(options, expected, _ms(variables, "debounce_max_messages"))
    plan = make(
        conversations=options.conversations, messages=options.messages, bursts=options.bursts, seed=options.seed
    )
    tempo = Tempo(
        crowd=crowd_of(plan, rate=options.rate, wait=wait, max_wait=max_wait),
        rate=options.rate,
        timeout=options.timeout,
        pause=wait + BEYOND if options.pause is None else options.pause,
    )
    secret = secret_of(options.channel, variables, given=options.secret, state=options.state)
    sender = provider(options.channel, secret, variables)
    outbox = None
    if options.listen:
        token = variables.get("CHATBOT_WHATSAPP_ACCESS_TOKEN", "")
        outbox = Outbox(secret if options.channel == "generic" else "", access_token=token)
    found = asyncio.run(_simulate(options, plan, tempo, sender, expected, outbox))
    click.echo(msgspec.json.encode(found).decode() if options.json else words(found))
    return 0 if found.ok else 1


async def _simulate(
    options: Options, plan: Plan, tempo: Tempo, sender: Provider, expected: Expected, outbox: Outbox | None
) -> Report:
    # A service remembers what it was sent, so each run has ids of its own, whatever the seed.
    run = random.SystemRandom().getrandbits(24)
    names = [sender.conversation(run, place) for place in range(1, len(plan) + 1)]
    talks = {name: Talk(conversation_id=name, planned=bursts) for name, bursts in zip(names, plan, strict=True)}
    began = time.monotonic()
    async with client(options.url) as service, _source(options, service, outbox) as source:
        with Progress(_title(options), deliveries=_deliveries(plan), bursts=len(plan) * options.bursts) as progress:
            postman = Postman(service, sender, timeout=options.timeout, delayed=progress.delayed)
            interrupted = await _play(Player(sender, postman, tempo, progress.step), source, talks)
        return report(
            talks.values(),
            sender,
            expected,
            url=options.url,
            seed=options.seed,
            interrupted=interrupted,
            seconds=time.monotonic() - began,
            hint=source.hint(),
        )


async def _play(player: Player, source: Source, talks: Mapping[str, Talk]) -> bool:
    """Play, and sort in what comes; return whether Ctrl-C ended it early."""
    tasks = {asyncio.create_task(player.play(talks)), asyncio.create_task(sort_in(source, talks))}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except asyncio.CancelledError:
        if (this := asyncio.current_task()) is not None:
            this.uncancel()  # what is closed from here on may wait
        return True
    finally:
        await _end(tasks)
    return False


async def _end(tasks: Set[asyncio.Task[None]]) -> None:
    """Cancel tasks until they are done: a cancellation that meets the end of what it interrupts may be swallowed."""
    while tasks:
        for task in tasks:
            task.cancel()
        done, tasks = await asyncio.wait(tasks, timeout=0.2)
        for task in done:
            _ = task.cancelled() or task.exception()  # looked at: asyncio complains of errors that nobody saw


@asynccontextmanager
async def _source(options: Options, service: httpx.AsyncClient, outbox: Outbox | None) -> AsyncIterator[Source]:
    """Give where replies are found, once the service answers."""
    await must_answer(service)
    if outbox is None:
        poll = Poll(service)
        await poll.open()
        yield poll
    else:
        listen = Listen(options.channel, outbox, _address(options.listen))
        async with listen.running():
            yield listen


def _check(options: Options, expected: Expected, most: int) -> None:
    problems = []
    if not expected.wait:
        problems.append("CHATBOT_DEBOUNCE_WAIT_MS is 0, so the service forms no bursts: there is nothing to simulate")
    if options.messages > most:
        problems.append(f"--messages {options.messages}: the service answers {most} at once, so give at most that many")
    if options.pause is not None and options.pause <= expected.wait:
        problems.append(
            f"--pause {options.pause:g} is not longer than the service's quiet time of {expected.wait:g} s: give more, "
            "or give its CHATBOT_DEBOUNCE_WAIT_MS"
        )
    if problems:
        raise ConfigurationError(problems)


def _ms(variables: Mapping[str, str], name: str) -> int:
    """Return one of the service's numbers, by the variable that it has there."""
    variable = f"CHATBOT_{name.upper()}"
    given = variables.get(variable) or str(Settings.model_fields[name].default)
    if not given.isdecimal():
        raise ConfigurationError(f"{variable} is {given!r}: give the number that the service has")
    return int(given)


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise ConfigurationError(f"--listen {text} is no HOST:PORT: give for example 127.0.0.1:9000")
    return host.strip("[]"), int(port)


def _deliveries(plan: Plan) -> int:
    return sum(len(burst.deliveries) for conversation in plan for burst in conversation)


def _title(options: Options) -> str:
    to = f"{options.conversations} conversations" if options.conversations > 1 else "one conversation"
    return f"Playing {to} on {options.url} ({options.channel}, seed {options.seed})"

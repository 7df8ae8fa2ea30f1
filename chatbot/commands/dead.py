"""`chatbot dead`: dead letters of both kinds, turns in the ledger and ordinary messages."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatbot.commands.command import command
from chatbot.commands.operators import json_option, say, state_option, text_option, with_service

if TYPE_CHECKING:
    from chatbot.operations.dead import Letter
    from chatbot.service import Service


def _filters(function: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--search", default="", help="Only those in whose error, traceback, id or key this occurs."),
        click.option("--since", metavar="TIME", help="Only those given up since: 90s, 15m, 6h, 2d ago, or ISO 8601."),
        click.option("--actor", default="", help="Only those of this actor."),
    ):
        function = option(function)
    return function


@click.group()
def dead() -> None:
    """List, show, replay and drop dead letters.

    \b
    Example:
        chatbot dead list --since 1d --actor process_turn
        chatbot dead replay --all --search ConnectError
    """


@command
@_filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1), help="The latest so many.")
@json_option
@state_option
def list_(actor: str, since: str | None, search: str, limit: int, json: bool, state: Path) -> int:
    """List dead letters, the latest first.

    \b
    Example:
        chatbot dead list --since 6h --search Timeout --json
    """

    def act(service: Service) -> int:
        from chatbot.operations.dead_words import table

        found, now = _chosen(service, actor, since, search), _now(service)
        say(found[:limit], table(found[:limit], len(found), now), json)
        return 0

    return with_service(state, act)


@command
@click.argument("letter")
@text_option
@json_option
@state_option
def show(letter: str, show_text: bool, json: bool, state: Path) -> int:
    """Show one dead letter with its traceback. LETTER is its id, or the beginning of it.

    What errors say may quote what somebody wrote, so it is left out, too, without --show-text. Status 1 if there is
    none.

    \b
    Example:
        chatbot dead show 5f3c9a2e
    """

    def act(service: Service) -> int:
        from chatbot.operations.dead import named
        from chatbot.operations.dead import show as shown
        from chatbot.operations.dead_words import words

        found = shown(service, named(service, [letter])[0], show_text=show_text)
        say(found, words(found), json)
        return 0

    return with_service(state, act)


@command
@click.argument("letters", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters leave.")
@_filters
@json_option
@state_option
def replay(letters: tuple[str, ...], everything: bool, json: bool, state: Path, **filters: Any) -> int:
    """Let dead letters be worked on again: LETTERS are ids or beginnings of ids.

    Each is removed only when it is safe elsewhere: a turn's messages in their window, a message in its queue. Status 1
    if one of them could not be replayed.

    \b
    Example:
        chatbot dead replay 5f3c9a2e 77b0c1d4
        chatbot dead replay --all --actor deliver_replies --since 2h
    """

    def act(service: Service) -> int:
        from chatbot.operations.dead_replay import replay as again

        found = _meant(service, letters, everything, filters)
        return _each(found, lambda letter: again(service, letter), "replayed", json)

    return with_service(state, act, broker=True)


@command
@click.argument("letters", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that the filters leave.")
@click.option("--yes", is_flag=True, help="Drop them; without it they are only counted.")
@_filters
@json_option
@state_option
def drop(letters: tuple[str, ...], everything: bool, yes: bool, json: bool, state: Path, **filters: Any) -> int:
    """Drop dead letters for good: LETTERS are ids or beginnings of ids. There is no way back.

    \b
    Example:
        chatbot dead drop --all --search "invalid recipient" --yes
    """

    def act(service: Service) -> int:
        from chatbot.errors import ConfigurationError
        from chatbot.operations.dead_replay import drop as bury

        found = _meant(service, letters, everything, filters)
        if not yes:
            raise ConfigurationError(f"that would drop {len(found)} dead letters for good: add --yes to do it")
        return _each(found, lambda letter: bury(service, letter), "dropped", json)

    return with_service(state, act)


@command
@json_option
@state_option
def collect(json: bool, state: Path) -> int:
    """Write down the dead letters that only the broker knows, so that they can be listed, replayed and dropped here.

    RabbitMQ makes some itself, by a policy's limit of deliveries or time to live; others were given up while the store
    was down. Each of them is read once, which is a delivery to RabbitMQ, and nothing leaves the broker. Only ordinary
    messages are meant: turns are in the ledger.

    \b
    Example:
        chatbot dead collect && chatbot dead list
    """

    def act(service: Service) -> int:
        from chatbot.operations.dead_collect import collect as written

        found = written(service)
        say(found, found.words(), json)
        return 0

    return with_service(state, act, broker=True)


def _now(service: Service) -> int:
    return service.store.inspect("dead/").now


def _chosen(service: Service, actor: str, since: str | None, search: str) -> list[Letter]:
    from chatbot.errors import ConfigurationError
    from chatbot.operations.dead import Filter
    from chatbot.operations.dead import letters as letters_of
    from chatbot.operations.times import moment

    try:
        after = moment(since, _now(service)) if since else 0
    except ValueError as exc:
        raise ConfigurationError(f"--since {since}: give 90s, 15m, 6h, 2d, or a time such as 2026-01-31T12:00") from exc
    return letters_of(service, Filter(actor=actor, since=after, search=search))


def _meant(service: Service, ids: Sequence[str], everything: bool, filters: dict[str, Any]) -> list[Letter]:
    from chatbot.errors import ConfigurationError
    from chatbot.operations.dead import named

    if bool(ids) == everything:
        raise ConfigurationError("give the ids of dead letters, or --all with filters: `chatbot dead list` shows them")
    if ids and any(filters.values()):
        raise ConfigurationError("ids are not filtered: give --all with --actor, --since or --search")
    return _chosen(service, **filters) if everything else named(service, ids)


def _each(letters: Sequence[Letter], act: Callable[[Letter], int], done: str, json: bool) -> int:
    from chatbot.operations.dead_replay import each
    from chatbot.operations.times import count

    results = []
    with _progress(len(letters)) as step:
        for letter, items, problem in each(letters, act):
            results.append({"id": letter.id, "kind": letter.kind, "items": items, "problem": problem or None})
            step(1)
    problems = [f"{result['id']}: {result['problem']}" for result in results if result["problem"]]
    summary = f"{count(len(results) - len(problems), 'dead letter')} {done}."
    say(results, "\n".join([summary, *problems]), json)
    return 1 if problems else 0


@contextmanager
def _progress(length: int) -> Iterator[Callable[[int], None]]:
    """Show how far it is, on standard error, where somebody watches."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    with click.progressbar(length=length, file=sys.stderr) as bar:
        yield bar.update


dead.add_command(list_, "list")
for each_command in (show, replay, drop, collect):
    dead.add_command(each_command)

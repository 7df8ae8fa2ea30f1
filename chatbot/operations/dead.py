"""Dead letters of both kinds: turns that the ledger has buried, and ordinary messages that a broker gave up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from chatbot.admin.tracebacks import kind, without_words
from chatbot.middleware.dead_letters import DeadLetter, DeadLetters
from chatbot.middleware.pump import message_id
from chatbot.operations.bodies import fields, id_of, text_of
from chatbot.operations.conversations import NotFound
from chatbot.operations.sentences import Sentence
from chatbot.service import Service
from chatbot.stores.operators import Grave
from chatbot.stores.values import Entry

#: Characters of an id that are enough to name a letter, if it is the only one that begins so.
SHORTEST = 6


class Letter(Struct, frozen=True, kw_only=True):
    """A dead letter. A `turn` has a key and an epoch; a `message` has arguments. Times are in ms since 1970."""

    id: str
    kind: str
    actor: str
    error: str
    attempts: int
    worker: str
    first_at: int
    last_at: int
    items: int = 1
    key: str | None = None
    epoch: int = 0
    queue: str | None = None


class Content(Struct, frozen=True, kw_only=True):
    """One item of a turn."""

    id: str | None
    arrived: int
    text: str | None = None


class Shown(Struct, frozen=True, kw_only=True):
    """All of a dead letter. `args` and `kwargs`, texts, and what its errors said, may quote what somebody wrote: they
    are left out unless asked for."""

    letter: Letter
    traceback: str
    said: str
    contents: list[Content] = []
    args: list[Any] | None = None
    kwargs: dict[str, Any] | None = None


class Filter(Struct, frozen=True, kw_only=True):
    """Which letters are meant: of an actor, given up since a time (ms), and in which a text occurs."""

    actor: str = ""
    since: int = 0
    search: str = ""


def letters(service: Service, wanted: Filter | None = None) -> list[Letter]:
    """Return the dead letters of both kinds, the latest first."""
    chosen = wanted or Filter()
    pairs = [(_of_grave(grave), _grave_text(grave)) for grave in service.store.graves()]
    pairs += [(_of_message(one), f"{one.error}\n{one.traceback}") for one in DeadLetters(service.store).letters()]
    found = [letter for letter, text in pairs if _matches(letter, text, chosen)]
    return sorted(found, key=lambda letter: letter.last_at, reverse=True)


def named(service: Service, ids: Sequence[str]) -> list[Letter]:
    """Return the letters with these ids, or the beginnings of ids. Raises NotFound."""
    known = letters(service)
    return [_named(known, given) for given in ids]


def _named(known: Sequence[Letter], given: str) -> Letter:
    fitting = [letter for letter in known if letter.id == given]
    if not fitting and len(given) >= SHORTEST:
        fitting = [letter for letter in known if letter.id.startswith(given)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        many = len(fitting)
        raise NotFound(
            Sentence("%(many)s dead letters begin with %(given)r: give more of the id", many=many, given=given)
        )
    raise NotFound(
        Sentence("there is no dead letter %(given)r: `chatbot dead list` shows the ids of those there are", given=given)
    )


def _matches(letter: Letter, text: str, wanted: Filter) -> bool:
    place = f"{letter.id}\n{letter.key}\n{text}".lower()
    return wanted.actor in ("", letter.actor) and letter.last_at >= wanted.since and wanted.search.lower() in place


# --- the two kinds ---
def _of_grave(grave: Grave) -> Letter:
    reason = fields(grave.reason)
    return Letter(
        id=message_id(grave.key, grave.epoch),
        kind="turn",
        actor=grave.key.partition("/")[0],
        error=str(reason.get("error", "unknown")),
        attempts=int(reason.get("fails", 0)) + int(reason.get("lost", 0)),
        worker=str(reason.get("worker", "unknown")),
        # An epoch is the time at which its turn was formed, in us.
        first_at=grave.epoch // 1000,
        last_at=grave.at,
        items=grave.size,
        key=grave.key,
        epoch=grave.epoch,
    )


def _grave_text(grave: Grave) -> str:
    reason = fields(grave.reason)
    return f"{reason.get('error')}: {reason.get('message')}\n{reason.get('traceback')}"


def _of_message(letter: DeadLetter) -> Letter:
    return Letter(
        id=letter.message_id,
        kind="message",
        actor=letter.actor,
        error=kind(letter.error),
        attempts=letter.attempts,
        worker=letter.worker,
        first_at=letter.first_at,
        last_at=letter.last_at,
        queue=letter.queue,
    )


def show(service: Service, letter: Letter, *, show_text: bool = False) -> Shown:
    """Return a dead letter, with what people and errors said if asked for it. Raises NotFound if it is gone."""
    if letter.key is not None:
        grave = grave_of(service, letter)
        reason = fields(grave.reason)
        contents = [_content(entry, show_text) for entry in grave.entries]
        traceback, said = _told(str(reason.get("traceback", "")), str(reason.get("message", "")), show_text)
        return Shown(letter=letter, traceback=traceback, said=said, contents=contents)
    message = message_of(service, letter)
    args, kwargs = (message.args, message.kwargs) if show_text else (None, None)
    traceback, said = _told(message.traceback, message.error, show_text)
    return Shown(letter=letter, traceback=traceback, said=said, args=args, kwargs=kwargs)


def _told(traceback: str, said: str, show_text: bool) -> tuple[str, str]:
    return (traceback, said) if show_text else (without_words(traceback), "")


def _content(entry: Entry, show_text: bool) -> Content:
    text = text_of(entry.body) if show_text else None
    return Content(id=id_of(entry.body), arrived=entry.arrived, text=text)


def grave_of(service: Service, letter: Letter) -> Grave:
    """Return the buried turn of a letter. Raises NotFound."""
    grave = service.store.grave(letter.key or "", letter.epoch)
    if grave is None:
        raise NotFound(f"the dead letter {letter.id} is gone: somebody replayed or dropped it")
    return grave


def message_of(service: Service, letter: Letter) -> DeadLetter:
    """Return what the journal of dead letters says of a letter. Raises NotFound."""
    for one in DeadLetters(service.store).letters():
        if one.message_id == letter.id:
            return one
    raise NotFound(f"the dead letter {letter.id} is gone: somebody replayed or dropped it")

"""One line of the log, without what it must not hold.

What a person or a responder has said may be in an error's words, or in the arguments of a call. So unless messages may
be logged, only errors of servers and of the configuration are told in full; of others the type and the place remain
(`chatbot dead show --show-text` tells them), and of a Dramatiq message its id.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import structlog
from dramatiq.broker import MessageProxy
from dramatiq.errors import BrokerError
from dramatiq.message import Message
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from chatbot.errors import ConfigurationError, LeaseLost, StoreError

Form = Literal["json", "pretty"]

#: Their words are about servers, never about what was said.
_HARMLESS = (StoreError, ConfigurationError, LeaseLost, BrokerError, OSError)
#: Dramatiq's actors log the arguments of every call, for debugging.
_ARGUMENTS = "Received args=%r kwargs=%r."
#: Of a traceback, so many frames at its end.
_FRAMES = -20
#: ASCII only, so that half of a surrogate pair does no harm.
_ENCODER = json.JSONEncoder(default=repr)
_FIRST = ("timestamp", "level", "logger", "event")


class Lines(ProcessorFormatter):
    """Formats every record, whichever logger it comes from."""

    def __init__(self, form: Form, *, messages: bool, secrets: Iterable[str] = (), coloured: bool = False) -> None:
        self._messages = messages
        # Quoting changes some characters; the longest first, for one may begin with another.
        hidden = {written for s in secrets for written in (s, json.dumps(s)[1:-1], repr(s)[1:-1])}
        words = "|".join(re.escape(secret) for secret in sorted(hidden, key=len, reverse=True))
        self._hidden = re.compile(words) if words else None
        renderer: Processor = (
            _as_json if form == "json" else structlog.dev.ConsoleRenderer(colors=coloured, pad_event_to=0)
        )
        super().__init__(
            foreign_pre_chain=[*shared_chain(form), structlog.stdlib.ExtraAdder()],
            processors=[ProcessorFormatter.remove_processors_meta, self._finish, renderer],
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        if not self._messages:
            record = logging.makeLogRecord(record.__dict__)
            record.args = _harmless(record)
        line = super().format(record)
        return self._hidden.sub("***", line) if self._hidden else line

    def _finish(self, _: Any, __: str, event: EventDict) -> EventDict:
        event.pop("color_message", None)  # uvicorn says everything twice
        if not self._messages:
            event.pop("text", None)
        if error := _error(event.pop("exc_info", None)):
            event["exception"] = "".join(_told(error, self._messages)).rstrip()
        return {**{name: event.pop(name) for name in _FIRST if name in event}, **event}


def _as_json(_: Any, __: str, event: EventDict) -> str:
    return _ENCODER.encode(event)


def shared_chain(form: Form) -> list[Processor]:
    """Return what every line begins with: what is bound to its thread or task, its level, logger and time."""
    machine = form == "json"
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso" if machine else "%H:%M:%S", utc=machine),
    ]


class _Name(str):
    """Stands for something in a line, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def _harmless(record: logging.LogRecord) -> Any:
    if record.msg == _ARGUMENTS:
        return (_Name("..."), _Name("..."))
    if isinstance(record.args, Mapping):
        return {name: _shown(value) for name, value in record.args.items()}
    return tuple(_shown(value) for value in record.args or ())


def _shown(value: object) -> object:
    if isinstance(value, BaseException) and not isinstance(value, _HARMLESS):
        return _Name(type(value).__name__)
    if isinstance(value, Message | MessageProxy):
        return f"{value.actor_name} {value.message_id}"
    return value


def _error(given: object) -> BaseException | None:
    """Return the error of a line: structlog's own loggers may give it in three ways."""
    if isinstance(given, tuple):
        given = given[1]
    elif given is True:
        given = sys.exc_info()[1]
    return given if isinstance(given, BaseException) else None


def _told(error: BaseException, words: bool, seen: frozenset[int] = frozenset()) -> Iterator[str]:
    """Tell an error and what it came from, oldest first, like Python's own tracebacks."""
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _told(before, words, seen | {id(error)})
        yield "\nand then:\n" if error.__cause__ is None else "\nwhich caused:\n"
    yield from traceback.format_tb(error.__traceback__, limit=_FRAMES)
    said = f": {_words(error)}" if words or isinstance(error, _HARMLESS) else ""
    yield f"{type(error).__module__}.{type(error).__qualname__}{said}\n"


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as exc:
        return f"({type(exc).__name__} when asked for it)"

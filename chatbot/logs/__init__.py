"""How a process logs: one line an event, on standard error, for machines (JSON) or for people.

All loggers, those of libraries too, go through one formatter, see `lines.py`; `runs.py` binds what a line is about.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Literal
from urllib.parse import unquote

import structlog

from chatbot.logs.lines import Form, Lines, shared_chain

logger = logging.getLogger(__name__)

#: pika logs what it raises, with tracebacks; and a dropped copy of a turn is a skipped message, of which Dramatiq's
#: worker would warn, although it is ordinary work. The others tell of every request.
_QUIET = {
    "httpx": "WARNING",
    "httpcore": "WARNING",
    "httpx2": "WARNING",  # what OpenAI's client uses
    "openai": "WARNING",
    "redis": "INFO",
    "pika": "CRITICAL",
    "dramatiq.worker": "ERROR",
}
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|KEY")
_PASSWORD_IN_URL = re.compile(r"://[^:/@\s]*:([^@/\s]+)@")
#: What is shorter is found in any text by chance.
_SHORTEST = 4


def configure(
    level: str,
    form: Literal["auto", "json", "pretty"] = "auto",
    *,
    messages: bool = False,
    secrets: Iterable[str] = (),
) -> None:
    """Log from this level on. No line holds one of the `secrets`, nor, unless `messages` may be logged, what a person
    or a responder has said."""
    handler = logging.StreamHandler(sys.stderr)
    chosen = form_of(form)
    handler.setFormatter(Lines(chosen, messages=messages, secrets=secrets, coloured=sys.stderr.isatty()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(least)
    # For functions of the user's that log with structlog.
    structlog.configure(
        processors=[*shared_chain(chosen), structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    sys.excepthook, threading.excepthook = _crashed, _thread_crashed


def form_of(form: Literal["auto", "json", "pretty"]) -> Form:
    """Return what `auto` means: for people on a terminal, else for machines."""
    if form != "auto":
        return form
    return "pretty" if sys.stderr.isatty() else "json"


def secrets_of(variables: Mapping[str, str]) -> set[str]:
    """Return what must not be seen of these settings: secrets, and the passwords in URLs."""
    found: set[str] = set()
    for name, value in variables.items():
        if _SECRET.search(name):
            # Secrets of Standard Webhooks may be several; a password may have spaces of its own.
            parts = value.replace(",", " ").split() if name.endswith("_SECRET") else [value]
            found |= {part for given in (value, *parts) for part in (given, given.removeprefix("whsec_"))}
        for password in _PASSWORD_IN_URL.findall(value):
            found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= _SHORTEST}


def _crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logger.critical("this process ends by an error", exc_info=(kind, error, trace))


def _thread_crashed(crash: threading.ExceptHookArgs) -> None:
    if crash.exc_value is not None and not isinstance(crash.exc_value, SystemExit):
        name = crash.thread.name if crash.thread else "?"
        logger.critical("the thread %s has ended by an error", name, exc_info=crash.exc_value)

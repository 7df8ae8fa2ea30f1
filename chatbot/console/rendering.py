"""What the console's templates know: times and counts in words, masked names, and sealed links."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from chatbot.admin.pages import environment, message, page
from chatbot.admin.personal import masked
from chatbot.console.seals import Seals
from chatbot.operations.times import ago, count, span, stamp

PACKAGE = "chatbot.console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How names of people, and ids that may hold them, are written on one page."""

    seals: Seals
    shown: bool

    def name(self, name: str) -> str:
        """Return a name as this page may show it: of a masked one, what tells it from others."""
        return name if self.shown else f"{masked(name)} {self.seals.seal(name)[:4]}"

    def text(self, text: str, names: Iterable[str]) -> str:
        """Return a text in which names stand, the longest first: one may be a part of another."""
        if not self.shown:
            for name in sorted(filter(None, names), key=len, reverse=True):
                # As a word of its own: a message may be called 1.
                text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", masked(name), text)
        return text

    def conversation(self, subject: str) -> str:
        """Return where a conversation's page is."""
        return f"/conversations/{self.seals.seal(subject)}"

    def message(self, subject: str | None, message_id: str) -> str:
        """Return where a message's page is."""
        return f"/conversations/{self.seals.seal(subject) if subject else '-'}/{self.seals.seal(message_id)}"


@cache
def _environment() -> jinja2.Environment:
    made = environment(PACKAGE)
    made.filters |= {"ago": ago, "count": count, "span": span, "stamp": stamp}
    return made


def show(request: Request, template: str, *, status: int = 200, **what: Any) -> HTMLResponse:
    """Return a page of the console."""
    _environment()
    return page(request, template, PACKAGE, status=status, **what)


def part(template: str, **what: Any) -> str:
    """Return a part of a page, as a stream sends it."""
    return _environment().get_template(template).render(what)


def missing(request: Request, text: str) -> Response:
    """Return the page for what is not there."""
    return message(request, 404, "Not found", text[:1].upper() + text[1:] + ".")


def down(request: Request) -> Response:
    """Return the page for a store or a broker that is down."""
    return message(request, 503, "Not now", "The store or the broker does not answer.", retry_after="5")

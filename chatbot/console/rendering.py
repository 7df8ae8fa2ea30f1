"""What the console's templates know: times and counts in words, masked names, and sealed links."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from chatbot.admin.language import language_of
from chatbot.admin.pages import environment, language_in, message, page
from chatbot.admin.personal import masked
from chatbot.console import wording
from chatbot.console.seals import Seals
from chatbot.operations.times import stamp

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


_WORDS = (wording.ago, wording.count, wording.rate, wording.span, wording.told)


@cache
def _environment() -> jinja2.Environment:
    made = environment(PACKAGE)
    made.filters |= {word.__name__: _filter(word) for word in _WORDS}
    made.filters["stamp"] = stamp
    return made


def _filter(word: Callable[..., object]) -> Callable[..., object]:
    """Return a filter that knows the language of its page."""
    return jinja2.pass_context(lambda context, *given: word(language_in(context), *given))


def show(request: Request, template: str, *, status: int = 200, **what: Any) -> HTMLResponse:
    """Return a page of the console."""
    _environment()
    return page(request, template, PACKAGE, status=status, **what)


def part(request: Request, template: str, **what: Any) -> str:
    """Return a part of a page, as a stream sends it."""
    return _environment().get_template(template).render(what, language=language_of(request))


def missing(request: Request, text: object) -> Response:
    """Return the page for what is not there."""
    language = language_of(request)
    said = str(wording.told(language, text))
    return message(request, 404, language.text("Not found"), said[:1].upper() + said[1:] + ".")


def down(request: Request) -> Response:
    """Return the page for a store or a broker that is down."""
    _ = language_of(request).text
    return message(request, 503, _("Not now"), _("The store or the broker does not answer."), retry_after="5")

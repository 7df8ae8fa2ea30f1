"""The language of each page: English, unless somebody chose or prefers one that has a catalogue in `languages/`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot.admin.proxies import is_https

#: What somebody chose: as a query it is of one page, as a cookie of all.
QUERY: Final = "lang"
COOKIE: Final = "chatbot_language"
#: s for which a choice holds.
CHOSEN_FOR: Final = 31_536_000
#: What begins a language tag, and what is spoken then. The first is spoken to everybody else.
CODES: Final = {"en": "en", "pt": "pt-BR"}
#: RFC 9110, 12.4.2
_WEIGHT = re.compile(r"\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.ASCII | re.IGNORECASE)


class Language(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue: English texts and what is said instead. Of a noun it knows the singular and the plural."""

    code: str
    name: str
    decimal: str = "."
    texts: Mapping[str, str] = {}
    nouns: Mapping[str, tuple[str, str]] = {}

    def text(self, english: str, **values: object) -> str:
        """Return a text in this language; `%(name)s` in it is one of the values."""
        return self.texts.get(english, english) % values


def mark(english: str) -> str:
    """Return a text as it is: a mark for one that is looked up elsewhere."""
    return english


@cache
def named(code: str) -> Language:
    """Return the language with this code."""
    if code == "en":
        return Language(code="en", name="English")
    catalogue = files("chatbot.admin").joinpath("languages", f"{code}.toml")
    return msgspec.toml.decode(catalogue.read_bytes(), type=Language)


def language_of(request: HTTPConnection) -> Language:
    """Return the language of an answer."""
    for given in (request.query_params.get(QUERY), request.cookies.get(COOKIE)):
        if given in CODES.values():
            return named(given)
    return named(preferred(",".join(request.headers.getlist("accept-language"))))


def preferred(accepted: str) -> str:
    """Return the code of the language that an Accept-Language header likes best; what is garbage in it says nothing."""
    weights: dict[str, float] = {}
    for tag, weight in _ranges(accepted):
        # Who takes any language is spoken to in the first.
        if (code := CODES.get("en" if tag == "*" else tag.partition("-")[0])) is not None:
            weights[code] = max(weight, weights.get(code, 0))
    best = max(weights, key=weights.__getitem__, default="en")
    return best if weights.get(best) else "en"


def _ranges(accepted: str) -> Iterator[tuple[str, float]]:
    for part in accepted.split(","):
        tag, semicolon, weight = part.partition(";")
        if found := _WEIGHT.fullmatch(weight if semicolon else "q=1"):
            yield tag.strip().lower(), float(found[1])


def choices(request: Request) -> list[tuple[str, Language]]:
    """Return the languages that this page is not in, and where it is in them."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != QUERY]
    others = (named(code) for code in CODES.values() if code != language_of(request).code)
    return [("?" + urlencode([*kept, (QUERY, other.code)]), other) for other in others]


class Spoken:
    """Tells of each page which language it is in, and remembers the one that somebody chose."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = HTTPConnection(scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                _tell(MutableHeaders(scope=message), request)
            await send(message)

        await self._app(scope, receive, sending)


def _tell(headers: MutableHeaders, request: HTTPConnection) -> None:
    if not headers.get("content-type", "").startswith(("text/html", "text/event-stream")):
        return
    code = language_of(request).code
    headers["content-language"] = code
    headers.add_vary_header("Accept-Language" if "Cookie" in headers.getlist("vary") else "Accept-Language, Cookie")
    if request.query_params.get(QUERY) == code and headers["content-type"].startswith("text/html"):
        secure = "; secure" if is_https(request) else ""
        cookie = f"{COOKIE}={code}; path=/; max-age={CHOSEN_FOR}; httponly; samesite=lax{secure}"
        headers.append("set-cookie", cookie)

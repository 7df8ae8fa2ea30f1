"""Sessions in a signed cookie, and the CSRF token that each of them holds."""

from __future__ import annotations

import hmac
import secrets
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot.admin.proxies import is_https
from chatbot.web.bodies import read_body

COOKIE: Final = "chatbot_session"
#: s after which one has to log in again.
LONGEST: Final = 43_200
#: Where a token is sent: a form's field, or a script's header.
FIELD, HEADER = "csrf_token", "x-csrf-token"
#: bytes of a form.
MOST: Final = 1_048_576

#: These change nothing, here or anywhere.
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """Gives requests their session. The cookie is `Secure` where the browser speaks https."""

    def __init__(self, app: ASGIApp, key: str) -> None:
        self._plain, self._secure = (_sessions(app, key, secure) for secure in (False, True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = self._secure if is_https(HTTPConnection(scope)) else self._plain
        await chosen(scope, receive, send)


def _sessions(app: ASGIApp, key: str, secure: bool) -> ASGIApp:
    return SessionMiddleware(app, key, COOKIE, max_age=LONGEST, same_site="lax", https_only=secure)


def csrf_token(request: HTTPConnection) -> str:
    """Return the session's token, which every form and every script that changes something must send back."""
    if "csrf" not in request.session:
        request.session["csrf"] = secrets.token_urlsafe(32)
    return str(request.session["csrf"])


async def holds_csrf_token(request: Request) -> tuple[bool, Receive]:
    """Say whether a request brings its session's token, and return how to receive its body again."""
    body = await read_body(request.receive, request.headers, MOST)
    given = request.headers.get(HEADER) or _field(request, body)
    known = str(request.session.get("csrf") or "")
    return bool(known) and hmac.compare_digest(given.encode(errors="replace"), known.encode()), _again(request, body)


def _field(request: Request, body: bytes) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return ""
    fields: dict[str, Any] = parse_qs(body.decode(errors="replace"))
    return str(fields.get(FIELD, [""])[0])


def _again(request: Request, body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await request.receive()

    return receive

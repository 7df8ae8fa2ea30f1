"""What stands before every page: who is it, may they, and do they mean it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot.admin.language import language_of
from chatbot.admin.pages import message
from chatbot.admin.personal import may_show, on_one_line
from chatbot.admin.sessions import SAFE, holds_csrf_token
from chatbot.web.problems import problem

logger = logging.getLogger(__name__)

#: Sets `request.state.user` and says whether there is one.
Known = Callable[[Request], Awaitable[bool]]


class Guard:
    """Asks for a login, unless `known` is None, and for the session's token where something is to be changed."""

    def __init__(self, app: ASGIApp, known: Known, *, needs_login: bool = True) -> None:
        self._app, self._known, self._needs_login = app, known, needs_login

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)  # of HTTP: nothing here speaks over websockets
        known = await self._known(request)
        request.state.shows_personal_data = known and may_show(request)
        request.state.holds = partial(self._holds, request)
        app = self._app
        if self._needs_login and not known:
            app = _not_known(request)
        elif request.method not in SAFE:
            meant, receive = await holds_csrf_token(request)
            app = app if meant else _not_meant(request)
        await app(scope, receive, send)

    async def _holds(self, request: Request) -> bool:
        """Say whether what was true when the request came is true still: for answers that go on for long."""
        return await self._known(request) and may_show(request) == request.state.shows_personal_data


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _not_known(request: Request) -> Response:
    if request.method not in ("GET", "HEAD") or not _wants_html(request):
        return problem(401, "log in first, at /login")
    # Not request.url: it cannot be read if the Host header is garbage.
    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    path += f"?{query}" if query else ""
    return RedirectResponse("/login" if path == "/" else f"/login?next={quote(path)}", 303)


def _not_meant(request: Request) -> Response:
    path = on_one_line(request.scope["path"])
    logger.warning("%s %s was refused: its CSRF token is missing or wrong", request.method, path)
    if not _wants_html(request):
        return problem(403, "the CSRF token is missing or wrong")
    _ = language_of(request).text
    text = _("This page was too old, or another site sent you here. Nothing was changed: go back, reload, try again.")
    return message(request, 403, _("Not done"), text)

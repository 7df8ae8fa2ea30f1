"""dramatiq-dashboard's own application, with our look and our frame around its pages. It is asked to show only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jinja2
from a2wsgi import WSGIMiddleware
from dramatiq_dashboard import DashboardApp  # type: ignore[import-untyped]
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message

from chatbot.admin.pages import translate
from chatbot.admin.sessions import FIELD
from chatbot.dashboard.interface import Interface, Viewing, viewing
from chatbot.dashboard.look import Look


class _Nobody:
    """Stands for the broker: all that the application does with one is done by our look and our own endpoints."""

    client: Any = property(lambda self: self)

    def register_script(self, _: object) -> None:
        """RedisInterface asks for this when it is made."""


def mounted(look: Look, prefix: str) -> ASGIApp:
    """Return the application, whose pages read `viewing`."""
    app = DashboardApp(_Nobody(), prefix)
    app.iface = Interface(look)
    ours, admin = jinja2.PackageLoader("chatbot.dashboard"), jinja2.PackageLoader("chatbot.admin")
    app.templates.loader = jinja2.ChoiceLoader([ours, app.templates.loader, admin])
    translate(app.templates)
    app.templates.globals |= {"csrf_token": _csrf_field, "viewing": viewing.get}
    app.templates.filters["timeago"] = ago
    return WSGIMiddleware(app)  # type: ignore[return-value]


async def rendered(app: ASGIApp, request: Request, shown: Viewing) -> Response:
    """Return the application's answer to a request, without the cookie that it sets: that has no SameSite, and nobody
    needs it, as our sessions hold the token. Raises what the look raises."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    viewing.set(shown)
    await app(request.scope, request.receive, send)
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"] if name != b"set-cookie"}
    return Response(b"".join(message.get("body", b"") for message in sent[1:]), sent[0]["status"], headers)


def ago(time: datetime, now: datetime | None = None) -> str:
    """Return how long ago a time was, or in how long it will be, as people say it; the beginning of 1970 is no time."""
    if not time.timestamp():
        return "unknown"
    seconds = ((now or datetime.now(UTC)) - time).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        if abs(seconds) >= size:
            said = f"{int(abs(seconds) // size)} {unit}"
            return f"{said} ago" if seconds > 0 else f"in {said}"
    return "now"


def _csrf_field() -> Markup:
    token = viewing.get().page["csrf_token"]
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, token)

"""The seam for everybody who has pages: `Admin.protect` puts routes behind the login."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from chatbot.admin import personal
from chatbot.admin.attempts import Attempts
from chatbot.admin.credentials import Credentials
from chatbot.admin.endings import Endings
from chatbot.admin.guard import Guard
from chatbot.admin.headers import SecurityHeaders
from chatbot.admin.language import Spoken
from chatbot.admin.login import Login
from chatbot.admin.proxies import Proxies, is_at_this_machine
from chatbot.admin.sessions import Sessions

if TYPE_CHECKING:
    from chatbot.settings import Settings
    from chatbot.stores import Store

STATIC = Path(__file__).parent / "static"


class Admin:
    """The doors of a service's pages. Raises ConfigurationError if there is no way to log in.

    `is_open`: this is `chatbot dev`, bound to this machine: who is at this machine needs no login.
    """

    def __init__(self, settings: Settings, store: Store, *, is_open: bool = False) -> None:
        self._is_open = is_open
        self._credentials = Credentials(settings)
        self._proxies = Proxies(settings.admin_proxy_ips, settings.admin_proxy_header)
        self._key = self._credentials.key(settings.namespace, settings.store_url)
        self._endings = Endings(store)
        self._login = Login(self._credentials, self._proxies, Attempts(store), self._endings)

    def routes(self) -> list[BaseRoute]:
        """Return the pages of the login itself, and the files that all pages share."""
        free: list[BaseRoute] = [
            Route("/login", self._login.show, methods=["GET"]),
            Route("/login", self._login.take, methods=["POST"]),
        ]
        own = [
            Route("/logout", self._login.leave, methods=["POST"]),
            Route("/personal-data", personal.choose, methods=["POST"]),
        ]
        return [static("/static/admin", STATIC), *self._behind(free, needs_login=False), *self.protect(own)]

    def protect(self, routes: Iterable[BaseRoute]) -> list[BaseRoute]:
        """Put routes behind the login; what is not GET, HEAD or OPTIONS needs the session's CSRF token, too.

        Their requests have `request.state.user`, `request.session` and `request.state.shows_personal_data`.
        """
        return self._behind(routes, needs_login=True)

    def _behind(self, routes: Iterable[BaseRoute], *, needs_login: bool) -> list[BaseRoute]:
        guarded: list[BaseRoute] = []
        for route in routes:
            assert isinstance(route, (Route, Mount)), f"{route!r} cannot be protected"
            app: ASGIApp = Guard(route.app, self._known, needs_login=needs_login)
            route.app = SecurityHeaders(Spoken(Sessions(app, self._key)))
            guarded.append(route)
        return guarded

    async def _known(self, request: Request) -> bool:
        """Find out who it is: whom a proxy has logged in, whose session it is, or who is at this machine."""
        request.state.is_open = self._is_open and is_at_this_machine(request)
        by_proxy = self._proxies.user(request)
        request.state.user = by_proxy or await self._of_session(request)
        # Whom a proxy has logged in is logged out by it.
        request.state.may_log_out = request.state.user is not None and by_proxy is None
        if request.state.user is None and request.state.is_open:
            request.state.user = "dev"
        return request.state.user is not None

    async def _of_session(self, request: Request) -> str | None:
        is_ours = self._credentials.exist and request.session.get("user") == self._credentials.user
        return await self._endings.user(request.session) if is_ours else None


def static(path: str, folder: Path) -> Mount:
    """Return files that every page may use: style and scripts, nothing about anybody."""
    mount = Mount(path, StaticFiles(directory=folder))
    mount.app = SecurityHeaders(mount.app, cache="max-age=300")
    return mount

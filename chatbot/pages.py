"""The pages of a service: what is behind the login, and the login itself."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from chatbot import console, dashboard
from chatbot.admin.access import Admin
from chatbot.admin.proxies import is_loopback

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from chatbot.service import Service


def routes(service: Service, sock: socket.socket, *, dev: bool) -> list[BaseRoute]:
    """Return the pages that are served on a socket. In `chatbot dev`, who is at this machine needs no login, unless
    the socket can be reached from elsewhere. Raises ConfigurationError if nobody could log in."""
    is_open = dev and is_loopback(str(sock.getsockname()[0]))
    admin = Admin(service.settings, service.store, is_open=is_open)
    chat = dev or service.settings.playground
    shown = [
        *dashboard.routes(service.settings, service.store, service.broker),
        *console.routes(service, url=_own_url(sock), playground=chat),
    ]
    return [*admin.routes(), *admin.protect(shown)]


def _own_url(sock: socket.socket) -> str:
    """Return how this machine reaches what listens on a socket."""
    host, port = sock.getsockname()[:2]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{here}]:{port}" if ":" in here else f"http://{here}:{port}"

"""An application with two protected routes, and browsers to look at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import argon2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from chatbot.admin.access import Admin
from chatbot.admin.pages import page
from chatbot.admin.personal import looked
from chatbot.settings import Settings, read
from chatbot.stores.memory import ManualClock, MemoryStore
from chatbot.web.problems import HANDLERS
from tests.admin.browser import PASSWORD, Browser, browsing

Browse = Callable[..., Browser]
#: A hash that takes no time to compare with.
HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


async def home(request: Request) -> Response:
    return page(request, "message.html", title="home", text=f"for {request.state.user}")


async def person(request: Request) -> Response:
    request.app.state.seen.append(request)
    return PlainTextResponse("Maria" if looked(request, request.query_params.get("of", "the person")) else "•••")


async def act(request: Request) -> Response:
    form = await request.form()
    return PlainTextResponse(f"acted on {form.get('what')}")


class House:
    """An application, the clock of its store, and how to make a second process of it."""

    def __init__(self, **settings: str) -> None:
        self.clock = ManualClock()
        self.store = MemoryStore(clock=self.clock)
        #: Requests for /person.
        self.seen: list[Request] = []
        self._settings = {"CHATBOT_ADMIN_PASSWORD": HASHED} | settings

    def settings(self, **settings: str) -> Settings:
        urls = {"CHATBOT_BROKER_URL": "redis://127.0.0.1/0", "CHATBOT_STORE_URL": "redis://127.0.0.1/1"}
        return read(urls | self._settings | settings)

    def app(self, *, is_open: bool = False, **settings: str) -> Starlette:
        admin = Admin(self.settings(**settings), self.store, is_open=is_open)
        routes = [
            Route("/", home),
            Route("/person", person),
            Route("/act", act, methods=["POST"]),
            Mount("/below", routes=[Route("/home", home), Route("/act", act, methods=["POST"])]),
        ]
        handlers: Any = dict(HANDLERS)
        app = Starlette(routes=[*admin.routes(), *admin.protect(routes)], exception_handlers=handlers)
        app.state.seen = self.seen
        return app


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def browse(house: House) -> Iterator[Browse]:
    """Gives browsers; without an application, one for the house's own."""
    with ExitStack() as stack:

        def start(app: Starlette | None = None, **place: str) -> Browser:
            return stack.enter_context(browsing(app or house.app(), **place))

        yield start

"""A console over a service in this process, on a real Redis, and somebody who is logged in to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from starlette.applications import Starlette

from chatbot import console
from chatbot.admin.access import Admin
from chatbot.web.problems import HANDLERS
from tests.admin.browser import Browser, browsing
from tests.admin.conftest import HASHED
from tests.operations.house import House
from tests.operations.house import house as running
from tests.servers import RedisServer


@pytest.fixture
def house(redis_server: RedisServer) -> Iterator[House]:
    """A service in a database of its own."""
    with running(redis_server.url.replace("/0", "/6"), CHATBOT_ADMIN_PASSWORD=HASHED) as house:
        yield house


@contextmanager
def at_console(house: House, *, url: str = "", playground: bool = False) -> Iterator[Browser]:
    """Lend somebody who has not logged in."""
    admin = Admin(house.service.settings, house.service.store)
    shown = console.routes(house.service, url=url, playground=playground)
    app = Starlette(routes=[*admin.routes(), *admin.protect(shown)], exception_handlers=dict(HANDLERS))
    with browsing(app) as browser:
        yield browser


@pytest.fixture
def somebody(house: House) -> Iterator[Browser]:
    """Somebody who has not logged in."""
    with at_console(house) as browser:
        yield browser


@pytest.fixture
def operator(somebody: Browser) -> Browser:
    """Somebody who has logged in."""
    assert somebody.log_in().status_code == 303
    return somebody


def unmask(operator: Browser) -> None:
    """Ask to see personal data."""
    assert operator.submit("/personal-data", "/", show="1", next="/").status_code == 303


def text(page: str) -> str:
    """Return what a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def link(page: str, label: str) -> str:
    """Return where the first link whose label contains this leads."""
    return next(href for href, said in re.findall(r'<a[^>]*href="([^"]+)"[^>]*>([^<]*)</a>', page) if label in said)


def find(operator: Browser, sought: str) -> str:
    """Look for something; return the path of its page."""
    return operator.submit("/conversations", "/conversations", sought=sought).headers["location"]

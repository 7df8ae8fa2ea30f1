"""A dashboard over a real broker, with an actor that fails, and a browser that is logged in."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import dramatiq
import httpx
import pytest
from starlette.applications import Starlette

from chatbot.admin.access import Admin
from chatbot.brokers import create
from chatbot.brokers.worker import Worker
from chatbot.dashboard import routes
from chatbot.errors import Permanent
from chatbot.middleware import guarded_stack
from chatbot.middleware.dead_letters import DeadLetters
from chatbot.settings import read
from chatbot.stores.memory import MemoryStore
from chatbot.web.problems import HANDLERS
from tests.admin.browser import PASSWORD, Browser, browsing
from tests.admin.conftest import HASHED
from tests.waiting import wait_until


class House:
    """A queue of its own on a broker: what `fail` names fails, all other things are `done`."""

    def __init__(self, kind: str, url: str, **settings: str) -> None:
        self.kind, self.queue = kind, f"q{uuid.uuid4().hex[:8]}"
        self.store = MemoryStore()
        self.broker: Any = create(url, guarded_stack(self.store))
        self.broker.emit_after("process_boot")
        self.fail: set[str] = {"Maria's order"}
        self.done: list[str] = []
        self.actor: Any = dramatiq.actor(self._run, broker=self.broker, actor_name="ship", queue_name=self.queue)
        self.letters = DeadLetters(self.store)
        given = {"CHATBOT_BROKER_URL": url, "CHATBOT_STORE_URL": "redis://127.0.0.1/1"}
        self.settings = read(given | {"CHATBOT_ADMIN_PASSWORD": HASHED} | settings)

    def _run(self, what: str) -> None:
        if what in self.fail:
            raise Permanent(f"nobody ships {what}")
        self.done.append(what)

    def app(self) -> Starlette:
        admin = Admin(self.settings, self.store)
        pages = admin.protect(routes(self.settings, self.store, self.broker))
        handlers: Any = dict(HANDLERS)
        return Starlette(routes=[*admin.routes(), *pages], exception_handlers=handlers)

    @contextlib.contextmanager
    def working(self) -> Iterator[Worker]:
        worker = Worker(self.broker, worker_threads=2, worker_timeout=100)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=5_000)

    def bury(self, *whats: str) -> list[str]:
        """Let messages fail; return their message ids, the last one first."""
        sent = []
        with self.working():
            for what in whats:
                before = len(self.letters.letters())
                self.fail.add(what)
                sent.append(self.actor.send(what).message_id)
                wait_until(lambda before=before: len(self.letters.letters()) > before)  # type: ignore[misc]
        return sent[::-1]


class Dashboard:
    """What an operator sees and does."""

    def __init__(self, house: House, browser: Browser) -> None:
        self.house, self.browser = house, browser

    def get(self, path: str = "") -> httpx.Response:
        return self.browser.get(f"/dashboard/{path}")

    def counts(self, queue: str = "") -> list[int]:
        """Return what the first page says of a queue: jobs, delayed, failed."""
        row = re.search(rf'queues/{re.escape(queue or self.house.queue)}">.*?</tr>', self.get().text, re.DOTALL)
        assert row, self.get().text
        return [int(number) for number in re.findall(r">\s+(\d+)\s+</td>", row[0])]

    def ids(self, tab: str) -> list[str]:
        """Return the ids that a tab lists, in order."""
        text = self.get(f"queues/{self.house.queue}/{tab}").text
        return re.findall(rf"/dashboard/queues/{self.house.queue}/{tab}/([^\"]+)\">", text)

    def act(self, what: str, tab: str, message_id: str) -> httpx.Response:
        """Press a button on a tab's page."""
        ending = {"standard": "", "delayed": ".DQ", "failed": ".XQ"}[tab]
        form = {"queue": self.house.queue + ending, "id": message_id}
        return self.browser.submit(f"/dashboard/{what}-message", f"/dashboard/queues/{self.house.queue}/{tab}", **form)


@pytest.fixture(params=["redis", "rabbitmq"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def house_of(request: pytest.FixtureRequest) -> Iterator[Callable[..., House]]:
    """Makes houses on the shared servers."""
    with contextlib.ExitStack() as stack:

        def make(kind: str, **settings: str) -> House:
            server = request.getfixturevalue(f"{kind}_server")
            house = House(kind, server.url, **settings)
            stack.callback(house.broker.close)
            return house

        yield make


@pytest.fixture
def look_at() -> Iterator[Callable[[House], Dashboard]]:
    """Logs in."""
    with contextlib.ExitStack() as stack:

        def log_in(house: House) -> Dashboard:
            browser = stack.enter_context(browsing(house.app()))
            assert browser.log_in(PASSWORD).status_code == 303
            return Dashboard(house, browser)

        yield log_in


@pytest.fixture
def house(kind: str, house_of: Callable[..., House]) -> House:
    return house_of(kind)


@pytest.fixture
def dashboard(house: House, look_at: Callable[[House], Dashboard]) -> Dashboard:
    return look_at(house)

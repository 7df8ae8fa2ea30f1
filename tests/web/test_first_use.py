"""Pages are made when somebody first looks at one; whatever they do, webhooks and health go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from chatbot.web.app import create_app
from tests.waiting import wait_until
from tests.web.house import TRUSTED, Ledger, Plain, served


async def page(request: Request) -> Response:
    return PlainTextResponse("a page")


ROUTES = (Route("/page", page), Route("/form", page, methods=["POST"]), Mount("/folder", routes=[Route("/", page)]))
#: None of these is asked of the pages: other routes answer, or refuse.
ELSEWHERE = (
    ("GET", "/health", 200),
    ("GET", "/ready", 200),
    ("GET", "/further", 200),
    ("GET", "/further/", 307),
    ("POST", "/further", 405),
    ("DELETE", "/webhooks/plain", 405),
    ("POST", "/webhooks/unknown", 404),
)


class Maker:
    """Makes pages, and notes in which thread; while the gate is shut it takes its time."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.failures = 0
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self) -> Sequence[BaseRoute]:
        self.threads.append(threading.current_thread())
        assert self.gate.wait(20)
        if len(self.threads) <= self.failures:
            raise OSError("a page cannot be made")
        return ROUTES


@contextmanager
def browsing(make: Callable[[], Sequence[BaseRoute]], ledger: Ledger) -> Iterator[httpx.Client]:
    app = create_app(
        channels={"plain": Plain()}, admit=ledger.admit, ready=ledger.look, extra_routes=[Route("/further", page)],
        pages=make,
    )  # fmt: skip
    with served(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


def test_nothing_else_makes_them(ledger: Ledger) -> None:
    make = Maker()
    with browsing(make, ledger) as client:
        answered = [(method, path, client.request(method, path).status_code) for method, path, _ in ELSEWHERE]
        assert answered == list(ELSEWHERE)
        assert make.threads == []


def test_they_are_made_once_however_many_look(ledger: Ledger) -> None:
    make = Maker()
    with browsing(make, ledger) as client, ThreadPoolExecutor(8) as people:
        seen = list(people.map(lambda _: client.get("/page").text, range(16)))
        assert seen == ["a page"] * 16
        assert len(make.threads) == 1


def test_webhooks_are_taken_while_they_are_made(ledger: Ledger) -> None:
    make = Maker()
    make.gate.clear()
    with browsing(make, ledger) as client, ThreadPoolExecutor(1) as people:
        looking = people.submit(client.get, "/page")
        wait_until(lambda: make.threads)
        taken = client.post("/webhooks/plain", headers=TRUSTED, json={"messages": [{"id": "m1"}]})
        assert taken.status_code == 200
        assert not looking.done()
        make.gate.set()
        assert looking.result(30).text == "a page"


def test_what_they_cannot_answer_is_a_problem_as_everywhere(ledger: Ledger) -> None:
    with browsing(Maker(), ledger) as client:
        for method, path, status in (("GET", "/nowhere", 404), ("GET", "/form", 405)):
            answer = client.request(method, path)
            assert answer.status_code == status
            assert answer.headers["content-type"] == "application/problem+json"
        assert client.get("/folder").headers["location"].endswith("/folder/")


def test_after_a_failure_the_next_look_tries_again(ledger: Ledger) -> None:
    make = Maker()
    make.failures = 1
    with browsing(make, ledger) as client:
        # After an error the server closes the connection.
        assert client.get("/page", headers={"connection": "close"}).status_code == 500
        assert client.get("/health").status_code == 200
        assert client.get("/page").text == "a page"

"""One browser and one deployment for all tests, and deployments of their own for those that need one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from chatbot.bench.partners import count
from tests.browser.chromium import DESKTOP, Browser, chromium
from tests.e2e.deployment import Deployment, deployed
from tests.servers import MissingServerError, RedisServer

#: What makes a web process one of `chatbot dev`: nobody at this machine has to log in.
DEV = {"CHATBOT_DEV": "1"}
Deploy = Callable[..., Deployment]


@pytest.fixture(scope="session")
def chrome() -> Iterator[Browser]:
    """A browser. A missing one fails the test."""
    with ExitStack() as stack:
        try:
            browser = stack.enter_context(chromium())
        except MissingServerError as exc:
            pytest.fail(str(exc), pytrace=False)
        yield browser


@pytest.fixture(scope="session")
def running() -> Iterator[Deployment]:
    """What `chatbot dev` runs: a store that is the broker, too, a web process and a worker."""
    with RedisServer() as server, deployed(server, server, **DEV, CHATBOT_DEBOUNCE_WAIT_MS="2500") as house:
        house.start_web()
        house.start_worker()
        yield house


@pytest.fixture
def browser(chrome: Browser) -> Iterator[Browser]:
    """The browser, without cookies or wishes, and as wide as a desktop. In the end nothing was amiss in any page."""
    chrome.forget()
    chrome.resize(*DESKTOP)
    chrome.prefer()
    yield chrome
    assert chrome.leave() == [], "the browser complains"


@pytest.fixture
def dev(running: Deployment, browser: Browser) -> Deployment:
    """The deployment that all tests share: use conversations of your own, and leave no dead letter."""
    running.partners.answer = count
    browser.home = running.url
    return running


@pytest.fixture
def deploy(
    browser: Browser, private_redis: Callable[..., Any], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Deployment]]:
    """Starts a web process on a store of its own, with Redis or RabbitMQ as its broker."""
    with ExitStack() as stack:

        def start(broker: str = "redis", **settings: str) -> Deployment:
            store = private_redis()
            other = request.getfixturevalue("rabbitmq_server") if broker == "rabbitmq" else store
            made = stack.enter_context(deployed(store, other, **settings))
            made.start_web()
            browser.home = made.url
            return made

        yield start
        # Before the server goes: a stream that breaks is a complaint.
        assert browser.leave() == [], "the browser complains"

"""Every page, on a phone and on a desktop, by day and by night: it fits, can be read, and everything has a name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chatbot.bench.deployment import ADMIN_PASSWORD
from tests.browser.chromium import DESKTOP, PHONE, Browser, chromium
from tests.browser.conftest import DEV, Deploy
from tests.e2e.deployment import Deployment, message
from tests.servers import MissingServerError
from tests.waiting import wait_until

CHECKS = (Path(__file__).parent / "checks.js").read_text()
BY_NAME = ["/", "/conversations", "/dead-letters", "/playground", "/dashboard/", "/dashboard/queues/default"]


@pytest.fixture
def pages(browser: Browser, dev: Deployment) -> Iterator[list[str]]:
    """The paths of all pages, with something on them."""
    dev.partners.answer = lambda turn: [5]  # type: ignore[list-item]  # no text: a permanent error
    dev.post(message("pages", 1), message("pages", 2), message("pages", 1)).raise_for_status()
    browser.open("/dead-letters")
    wait_until(lambda: browser.open("/dead-letters") or browser.all(".letter"), 20, interval=0.3)
    letter = str(browser.all(".letter a")[0].get_attribute("href"))
    browser.open("/conversations")
    browser.type("#sought", "generic:pages")
    browser.press("Find")
    browser.sees("Inbox")
    found = [letter, browser.driver.current_url, str(browser.all("main .lines a")[-1].get_attribute("href"))]
    yield BY_NAME + [place.removeprefix(browser.home) for place in found]
    browser.open(letter.removeprefix(browser.home))
    browser.press("Drop …")
    browser.press("Drop it")


@pytest.mark.long
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_can_be_read_and_has_names_for_what_can_be_used(
    browser: Browser, pages: list[str], scheme: str
) -> None:
    browser.prefer(color_scheme=scheme)
    faults = []
    for size in (PHONE, DESKTOP):
        browser.resize(*size)
        for path in pages:
            browser.open(path)
            faults += [f"{path} at {size[0]}: {fault}" for fault in browser.script(CHECKS)]
        # Who is at this machine never sees it.
        browser.come_from_elsewhere()
        browser.open("/login")
        faults += [f"{browser.path} at {size[0]}: {fault}" for fault in browser.script(CHECKS)]
        browser.forget()
    assert faults == []


@pytest.mark.long
def test_the_console_on_rabbitmq_shows_queues_workers_and_a_reply(browser: Browser, deploy: Deploy) -> None:
    house = deploy("rabbitmq", CHATBOT_PLAYGROUND="true", CHATBOT_DEBOUNCE_WAIT_MS="300")
    house.start_worker()
    browser.open("/playground")
    browser.log_in(ADMIN_PASSWORD)
    browser.sees("Write a few short messages")
    browser.type("#text", "Hello\n")
    wait_until(lambda: browser.texts(".bubble.theirs") == ["1 messages"], 20)
    browser.open("/")
    wait_until(lambda: browser.texts(".chart .value")[:3] == ["1", "1", "1"])
    assert {"default", "high", "low"} <= set(browser.texts("tbody th"))
    browser.sees("worked")


@pytest.mark.long
def test_streams_do_not_keep_the_web_process_from_stopping(browser: Browser, deploy: Deploy) -> None:
    house = deploy(**DEV)
    (web,) = house.processes
    browser.open("/")
    browser.sees("Live")
    web.stop()
    assert "timeout graceful shutdown exceeded" not in web.output()
    browser.sees("Connecting …")
    browser.leave()  # it may tell that the server is gone


@pytest.mark.long
def test_everything_can_be_reached_with_the_keyboard(browser: Browser, dev: Deployment) -> None:
    browser.open("/conversations")
    reached = browser.tabbed(20)
    assert reached[:2] == ["Skip to the content", "chatbot"]
    for label in ("Operations", "Conversations", "Dead letters", "Queues", "Playground", "Unmask", "Find"):
        assert label in reached


def test_a_browser_that_is_missing_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingServerError, match="chromium is missing: `make test` installs it"), chromium():
        pass

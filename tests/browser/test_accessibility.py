"""axe finds nothing to complain about on any page: by day and by night, on a phone and on a desktop."""

from __future__ import annotations

from itertools import product

import pytest

from tests.browser.axe import violations
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.browser.conftest import DEV, Deploy
from tests.browser.test_dashboard import send
from tests.e2e.deployment import Deployment, message
from tests.waiting import wait_until

SCHEMES = ("light", "dark")
BY_NAME = ("/", "/conversations", "/dead-letters", "/dead-letters/none", "/playground",
           "/dashboard/", "/dashboard/queues/default", "/dashboard/queues/low/failed")  # fmt: skip


@pytest.mark.parametrize(("scheme", "size"), [("light", PHONE), ("dark", DESKTOP)])
def test_the_pages_that_people_see_first_break_no_rule(
    browser: Browser, dev: Deployment, scheme: str, size: tuple[int, int]
) -> None:
    browser.resize(*size)
    browser.prefer(color_scheme=scheme, reduced_motion="reduce")
    for path in ("/", "/dead-letters", "/playground"):
        browser.open(path)
        assert violations(browser) == []
    browser.come_from_elsewhere()
    browser.open("/login")
    assert browser.all("[name=password]")
    assert violations(browser) == []


def test_axe_finds_a_field_without_a_name_and_a_text_that_is_hard_to_read(browser: Browser, dev: Deployment) -> None:
    browser.come_from_elsewhere()
    browser.open("/login")
    browser.script("""
        document.querySelector("[name=user]").closest("label").firstChild.remove();
        document.styleSheets[0].insertRule("h1 { color: #999 }");
    """)
    found = {line.split(": ")[1] for line in violations(browser)}
    assert found == {"label", "color-contrast"}


@pytest.mark.long
@pytest.mark.timeout(240)
def test_no_page_breaks_a_rule(browser: Browser, deploy: Deploy) -> None:
    house = deploy(**DEV, CHATBOT_DEBOUNCE_WAIT_MS="300")
    house.start_worker()
    pages = _with_something_on_them(browser, house)
    faults = _each(browser, [*BY_NAME, *pages])
    browser.press("Unmask")
    browser.sees("Personal data is shown")
    faults += _each(browser, pages)
    faults += _asked_and_refused(browser) + _while_a_turn_is_answered(browser, house)
    browser.complaints()  # it tells of what is not found
    assert faults == []


def _each(browser: Browser, paths: list[str]) -> list[str]:
    faults = []
    for path in paths:
        browser.open(path)
        faults += _in_every_way(browser)
    return faults


def _in_every_way(browser: Browser) -> list[str]:
    """Return what is wrong with the page that is open, in both colour schemes and on both widths."""
    faults = []
    for size, scheme in product((DESKTOP, PHONE), SCHEMES):
        browser.resize(*size)
        browser.prefer(color_scheme=scheme, reduced_motion="reduce")
        faults += [f"{scheme}, {size[0]}: {fault}" for fault in violations(browser)]
    return faults


def _with_something_on_them(browser: Browser, house: Deployment) -> list[str]:
    """Make an answered conversation, a dead letter, a failed message of a queue and a chat; return their pages."""
    house.partners.answer = lambda turn: [5] if "dead" in str(turn["messages"]) else ["fine"]  # type: ignore[list-item]
    house.post(message("pages", 1), message("pages", 2), message("pages", 1), message("dead", 1)).raise_for_status()
    send(house, "unknown")
    browser.open("/playground")
    browser.press("Send burst")
    browser.sees("fine", 20)
    browser.type("#text", "dead\n")
    browser.sees("This turn is a dead letter", 20)
    letter = _first(browser, "/dead-letters", ".letter a")
    failed = _first(browser, "/dashboard/queues/low/failed", ".table__subject a")
    browser.open("/conversations")
    conversations = [str(link.get_attribute("href")) for link in browser.all(".lines a")]
    stories = [_first(browser, one.removeprefix(house.url), "main .lines a") for one in conversations[:1]]
    return [path.removeprefix(house.url) for path in (letter, failed, *conversations, *stories)]


def _first(browser: Browser, path: str, links: str) -> str:
    """Return where the first of these links of a page leads, as soon as there is one."""
    found = wait_until(lambda: browser.open(path) or browser.all(links), 30, interval=0.3)
    return str(found[0].get_attribute("href"))


def _asked_and_refused(browser: Browser) -> list[str]:
    """Return what is wrong with the pages that are the answer to a form."""
    browser.open("/dead-letters")
    browser.press("Drop ticked …")
    browser.sees("Nothing was chosen.")
    faults = _in_every_way(browser)
    browser.all("[name=id]")[0].click()
    browser.press("Drop ticked …")
    browser.sees("for good?")
    faults += _in_every_way(browser)
    browser.open("/conversations")
    browser.type("#sought", "nobody")
    browser.press("Find")
    wait_until(lambda: browser.all("[role=alert]"))
    return faults + _in_every_way(browser)


def _while_a_turn_is_answered(browser: Browser, house: Deployment) -> list[str]:
    """Return what is wrong with the playground, and then with the first page, while the responder takes its time."""
    house.partners.free.clear()
    try:
        browser.open("/playground")
        browser.type("#text", "Hello\n")
        wait_until(lambda: browser.all(".forming"))
        browser.type("#text", "again\n")
        wait_until(lambda: browser.all(".window"))
        browser.press("Resend last")
        wait_until(lambda: browser.all(".suppressed .bubble"))
        faults = _in_every_way(browser)
        browser.open("/")
        wait_until(lambda: browser.texts("[data-key=open] .badge") == ["running"])
        return faults + _in_every_way(browser)
    finally:
        house.partners.free.set()

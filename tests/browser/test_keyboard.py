"""Keys alone are enough: everything is reached, one sees where one is, nothing holds the focus or loses it."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from chatbot.bench.deployment import ADMIN_PASSWORD
from tests.browser.chromium import DESKTOP, PHONE, Browser
from tests.e2e.deployment import Deployment, message
from tests.waiting import wait_until

#: Returns which of the things that can be used has the focus (-1: none), of how many, and what is wrong with it.
STOP = """
    const usable = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, [tabindex='0']")]
        .filter((one) => !one.disabled && one.checkVisibility());
    const one = document.activeElement;
    const { outlineStyle, outlineWidth } = getComputedStyle(one);
    const { left, right, top, bottom } = one.getBoundingClientRect();
    const isSeen = right > 0 && bottom > 0 && left < innerWidth && top < innerHeight;
    const hasRing = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
    const place = usable.indexOf(one);
    return [place, usable.length, place < 0 || (isSeen && hasRing) ? "" : `${one.outerHTML.slice(0, 120)} is not seen`];
"""


def stops(browser: Browser, key: str) -> tuple[set[int], set[int], list[str]]:
    """Press a key as often as there are things to use, and a little more; return what it led to, what it should have,
    and what is wrong with that."""
    seen, faults, (_, number, _) = set(), [], browser.script(STOP)
    for _ in range(number + 2):
        browser.keys(*key)
        place, number, fault = browser.script(STOP)
        seen.add(place)
        faults += [fault] if fault else []
    return seen - {-1}, set(range(number)), faults


def focus(browser: Browser, selector: str) -> None:
    """Press Tab until this has the focus."""
    for _ in range(60):
        browser.keys(Keys.TAB)
        if browser.script("return document.activeElement.matches(arguments[0])", selector):
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def test_a_link_keeps_the_focus_while_its_part_of_the_page_is_replaced(browser: Browser, dev: Deployment) -> None:
    dev.partners.free.clear()
    try:
        browser.open("/")
        dev.post(message("keeps-focus", 1)).raise_for_status()
        browser.sees("1 message\n")
        focus(browser, "[data-key=open] a")
        browser.script("document.activeElement.isOld = true")
        wait_until(lambda: browser.texts("[data-key=open] .badge") == ["running"], 20)
        assert browser.script("return [!document.activeElement.isOld, document.activeElement.localName]") == [True, "a"]
    finally:
        dev.partners.free.set()
    wait_until(lambda: dev.partners.replies_to("keeps-focus"), 20)


def test_the_first_key_leads_past_the_navigation(browser: Browser, dev: Deployment) -> None:
    browser.open("/dead-letters")
    browser.keys(Keys.TAB)
    assert browser.script("return document.activeElement.innerText") == "Skip to the content"
    assert browser.script(STOP)[2] == ""
    browser.keys(Keys.ENTER)
    browser.keys(Keys.TAB)
    assert browser.script("return document.activeElement.closest('main') !== null")


@pytest.mark.long
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_tab_leads_to_everything_there_and_back_and_one_sees_where_one_is(
    browser: Browser, dev: Deployment, size: tuple[int, int]
) -> None:
    browser.resize(*size)
    for path in ("/", "/conversations", "/dead-letters", "/playground", "/dashboard/queues/default"):
        for key in (Keys.TAB, (Keys.SHIFT, Keys.TAB)):
            browser.open(path)
            reached, usable, faults = stops(browser, key)
            assert (path, reached, faults) == (path, usable, [])


@pytest.mark.long
def test_somebody_logs_in_drops_a_dead_letter_and_chats_without_a_mouse(browser: Browser, dev: Deployment) -> None:
    def answer(turn: dict[str, Any]) -> list[Any]:
        return [5] if turn["conversation_id"] == "unmoused" else ["heard"]  # no text: a permanent error

    dev.partners.answer = answer
    dev.post(message("unmoused", 1)).raise_for_status()
    browser.come_from_elsewhere()
    browser.open("/")
    browser.keys("admin", Keys.TAB, ADMIN_PASSWORD, Keys.ENTER)
    wait_until(lambda: browser.texts("#to-dead .value") == ["1"], 20)
    for label, seen in (
        ("Dead letters", "1 item"),
        ("Permanent", "Traceback"),
        ("Drop …", "for good?"),
        ("Drop it", "Dropped 1 dead letter, 1 item."),
        ("Playground", "Write a few short messages"),
    ):
        browser.tab_to(label)
        browser.keys(Keys.ENTER)
        browser.sees(seen)
    browser.keys("first", Keys.ENTER, "second", Keys.ENTER)  # the field has the focus from the start
    wait_until(lambda: browser.texts(".bubble.theirs") == ["heard"], 20)
    assert browser.texts(".exchange .bubble.mine") == ["first", "second"]
    browser.tab_to("Resend last")
    browser.keys(Keys.SPACE)
    browser.sees("came again: suppressed")
    assert browser.script("return document.activeElement.id") == "text"

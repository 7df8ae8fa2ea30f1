"""What an operator does without a mouse, and what pages make of names and texts that are meant to be more than text."""

from __future__ import annotations

from typing import Any

import pytest
from selenium.webdriver.common.keys import Keys

from chatbot.bench.deployment import ADMIN_PASSWORD
from tests.browser.chromium import Browser
from tests.e2e.deployment import Deployment, message
from tests.waiting import wait_until

pytestmark = pytest.mark.long

EVIL = """"><img src=x onerror="document.title='evil'"><script>document.title='evil'</script>'"""


def test_somebody_logs_in_replays_a_dead_letter_and_logs_out_with_the_keyboard_alone(
    browser: Browser, dev: Deployment
) -> None:
    is_mended: list[bool] = []
    dev.partners.answer = lambda turn: ["mended"] if is_mended else [5]  # type: ignore[list-item]  # no text
    dev.post(message("by-keyboard", 1)).raise_for_status()
    browser.come_from_elsewhere()
    browser.open("/")
    browser.keys("admin", Keys.TAB, ADMIN_PASSWORD, Keys.ENTER)
    wait_until(lambda: browser.path == "/")
    wait_until(lambda: browser.texts("#to-dead .value") == ["1"], 20)
    browser.tab_to("Dead letters")
    browser.keys(Keys.ENTER)
    browser.sees("Permanent")
    is_mended.append(True)
    browser.tab_to("Replay")
    browser.keys(Keys.ENTER)
    browser.sees("Replayed 1 dead letter, 1 item.")
    wait_until(lambda: dev.partners.replies_to("by-keyboard"))
    browser.tab_to("Log out")
    browser.keys(Keys.SPACE)
    wait_until(lambda: browser.path == "/login")


def test_names_and_texts_stay_text_on_every_page_that_shows_them(browser: Browser, dev: Deployment) -> None:
    def answer(turn: dict[str, Any]) -> list[Any]:
        return [EVIL] if turn["conversation_id"] == EVIL else [{"text": 5, "of": EVIL}]

    dev.partners.answer = answer
    said = {"sender_id": EVIL, "text": EVIL}
    dev.post(
        {**message("c", 1), **said, "conversation_id": EVIL, "message_id": EVIL},
        {**message("c", 2), **said, "conversation_id": f"dead {EVIL}"},
    ).raise_for_status()
    browser.open("/")
    browser.press("Unmask")
    browser.sees(EVIL)
    browser.sees("1\ndead turns")
    browser.open("/conversations")
    browser.sees(EVIL)
    for sought, told in ((f"generic:{EVIL}", "Inbox"), (EVIL, "completed")):
        browser.open("/conversations")
        browser.type("#sought", sought)
        browser.press("Find")
        browser.sees(told)
        browser.sees(EVIL)
    browser.open("/dead-letters")
    browser.follow("Permanent")
    browser.sees(EVIL)
    browser.press("Drop …")
    browser.press("Drop it")
    browser.sees("Dropped 1 dead letter")  # before that, the button would be one of the page that goes
    browser.press("Mask")
    assert browser.driver.title.endswith("chatbot")

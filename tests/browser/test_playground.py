"""The playground in a real browser: what people type becomes one turn and one reply, before their eyes."""

from __future__ import annotations

from typing import Any

from tests.browser.chromium import PHONE, Browser
from tests.e2e.deployment import Deployment
from tests.waiting import wait_until


def echo(turn: dict[str, Any]) -> list[str]:
    return [" / ".join(message["text"] for message in turn["messages"])]


def test_a_burst_is_one_turn_and_one_reply_and_a_resend_fades(browser: Browser, dev: Deployment) -> None:
    dev.partners.answer = echo
    asked = len(dev.partners.asked)
    browser.resize(*PHONE)
    browser.open("/playground")
    browser.press("Send burst")
    countdown = wait_until(lambda: browser.texts(".countdown output"), message="no window is seen to count down")
    assert countdown[0].endswith("s")
    browser.sees("one turn of 4 messages", 20)
    burst = ["Hi!", "I have a question", "about my order 1234:", "where is it?"]
    assert browser.texts(".exchange .bubble.mine") == burst
    wait_until(lambda: browser.texts(".bubble.theirs") == [" / ".join(burst)])
    assert len(browser.all(".exchange")) == 1
    browser.press("Resend last")
    assert wait_until(lambda: browser.texts(".suppressed .bubble")) == ["where is it? came again: suppressed"]
    wait_until(lambda: not browser.all(".suppressed .bubble"), message="the duplicate does not fade")
    assert len(browser.all(".exchange")) == 1
    assert len(browser.all(".bubble.theirs")) == 1
    assert len(dev.partners.asked) == asked + 1


def test_what_is_typed_is_sent_with_the_keyboard_and_a_script_in_it_stays_text(
    browser: Browser, dev: Deployment
) -> None:
    dev.partners.answer = echo
    browser.open("/playground")
    evil = "<img src=x onerror=\"document.title='evil'\"><script>document.title='evil'</script>"
    browser.type("#text", evil + "\n")
    wait_until(lambda: browser.texts(".bubble.theirs") == [evil], 20)
    assert browser.driver.title == "Playground · chatbot"
    browser.follow("See this conversation as operators do")
    browser.sees("Inbox idle")

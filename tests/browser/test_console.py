"""The console in a real browser: the login, what is live, and dead letters that are worked on by button."""

from __future__ import annotations

from typing import Any

from chatbot.bench.deployment import ADMIN_PASSWORD
from tests.browser.chromium import Browser
from tests.browser.test_every_page import CHECKS
from tests.e2e.deployment import Deployment, message
from tests.waiting import wait_until


def test_pages_need_a_login_and_actions_the_sessions_token(browser: Browser, dev: Deployment) -> None:
    browser.come_from_elsewhere()
    browser.open("/dead-letters")
    assert browser.path == "/login?next=/dead-letters"
    browser.log_in("not the password")
    browser.sees("The user or the password is wrong.")
    assert browser.complaints() != []  # it tells of the 401
    browser.log_in(ADMIN_PASSWORD)
    wait_until(lambda: browser.path == "/dead-letters")
    browser.open("/playground")
    browser.script("for (const one of document.querySelectorAll('[name=csrf_token]')) one.value = 'another'")
    browser.press("Begin anew")
    browser.sees("Nothing was changed")
    assert browser.complaints() != []  # and of the 403
    browser.press("Log out")
    browser.open("/")
    assert browser.path == "/login"


def test_the_operations_page_follows_what_happens_without_being_loaded_again(browser: Browser, dev: Deployment) -> None:
    browser.open("/")
    browser.sees("Nobody is typing.")
    before = figures(browser)
    browser.script("window.isTheSame = true; document.getElementById('to-dead').focus()")
    dev.post(message("conversation-of-maria", 1), message("conversation-of-maria", 2)).raise_for_status()
    browser.sees("2 messages")
    assert "conversation-of-maria" not in browser.text()
    browser.sees("Nobody is typing.")
    wait_until(lambda: [now - was for now, was in zip(figures(browser), before, strict=True)] == [2, 1, 1])
    assert browser.script("return window.isTheSame && document.activeElement.id") == "to-dead"


def test_who_prefers_portuguese_gets_it_at_the_login_and_in_what_is_live(browser: Browser, dev: Deployment) -> None:
    browser.come_from_elsewhere()
    browser.open("/login?next=/")
    browser.follow("Português (Brasil)")
    browser.sees("Senha")
    browser.log_in(ADMIN_PASSWORD)
    browser.sees("Ninguém está escrevendo.")
    dev.partners.free.clear()
    try:
        dev.post(message("conversa-da-maria", 1), message("conversa-da-maria", 2)).raise_for_status()
        browser.sees("2 mensagens")
        browser.sees("em execução", 20)
    finally:
        dev.partners.free.set()
    browser.sees("Nenhum turno está sendo respondido.", 20)
    assert browser.script("return document.documentElement.lang") == "pt-BR"
    assert browser.script(CHECKS) == []
    browser.follow("English")
    browser.sees("Nobody is typing.")


def figures(browser: Browser) -> list[int]:
    """Return how many messages, turns and replies the charts tell of."""
    return [int(text) for text in browser.texts(".chart .value")[:3]]


def test_dead_letters_are_replayed_and_dropped_by_button(browser: Browser, dev: Deployment) -> None:
    is_mended: list[bool] = []

    def answer(turn: dict[str, Any]) -> list[Any]:
        return ["mended"] if is_mended else [5]  # no text: a permanent error

    dev.partners.answer = answer
    dev.post(message("dead-1", 1), message("dead-2", 1)).raise_for_status()
    browser.open("/")
    wait_until(lambda: browser.texts("#to-dead .value") == ["2"], 20)
    browser.all("#to-dead")[0].click()
    browser.follow("Permanent")
    browser.sees("Traceback (most recent call last)")
    is_mended.append(True)
    browser.press("Replay")
    browser.sees("Replayed 1 dead letter, 1 item.")
    replies = wait_until(lambda: dev.partners.replies_to("dead-1") + dev.partners.replies_to("dead-2"))
    assert [reply.body["text"] for reply in replies] == ["mended"]
    browser.all("[data-ticks]")[0].click()
    browser.press("Drop ticked …")
    browser.sees("Drop 1 dead letter for good?")
    browser.press("Drop it")
    browser.sees("There are no dead letters.")

"""The playground's own pages; tests/browser chats with a running service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admin.browser import Browser
from tests.console.conftest import at_console
from tests.operations.house import House


def test_where_the_playground_is_off_its_page_says_how_it_is_switched_on(operator: Browser) -> None:
    assert "CHATBOT_PLAYGROUND=true" in operator.get("/playground").text
    assert operator.submit("/playground", "/", act="burst").status_code == 404
    assert operator.get("/playground/events").status_code == 404


@pytest.fixture
def player(house: House) -> Iterator[Browser]:
    """Somebody at a playground whose service cannot be reached."""
    with at_console(house, url="http://127.0.0.1:9", playground=True) as player:
        player.log_in()
        yield player


def test_a_webhook_that_does_not_answer_is_said(player: Browser) -> None:
    form = {"csrf_token": player.token("/playground"), "act": "send", "text": "Hello"}
    sent = player.post("/playground", form, accept="application/json").json()["sent"]
    assert sent == [{"text": "Hello", "status": 0, "outcome": "the webhook did not answer"}]


def test_the_longest_message_fits_into_the_cookie_that_remembers_it(player: Browser) -> None:
    form = {"csrf_token": player.token("/playground"), "act": "send", "text": "🙂" * 1_000}
    cookie = player.post("/playground", form).headers["set-cookie"]
    assert "chatbot_session=" in cookie
    assert len(cookie.partition(";")[0]) < 4_000


def test_without_a_script_a_form_of_the_playground_leads_back_to_it(player: Browser) -> None:
    answer = player.submit("/playground", "/playground", act="send", text="Hello")
    assert (answer.status_code, answer.headers["location"]) == (303, "/playground")

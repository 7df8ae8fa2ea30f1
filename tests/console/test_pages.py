"""The pages of the console, over a real service: what they show, what they mask, and what they let nobody do."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.admin.browser import Browser
from tests.admin.conftest import HASHED
from tests.console.conftest import at_console, find, text, unmask
from tests.operations.house import House, message
from tests.operations.house import house as running
from tests.servers import RedisServer
from tests.waiting import wait_until

PERSON = "+491705551234"


# --- the door ---
@pytest.mark.parametrize(
    "path", ["/", "/events", "/conversations", "/conversations/x", "/conversations/x/y", "/dead-letters",
             "/dead-letters/x", "/playground", "/playground/events", "/static/console/live.js"],
)  # fmt: skip
def test_nothing_is_shown_without_a_login(somebody: Browser, path: str) -> None:
    assert somebody.get(path).headers["location"].startswith("/login")
    assert somebody.get(path, accept="text/event-stream").status_code == 401


@pytest.mark.parametrize("path", ["/conversations", "/dead-letters", "/playground"])
def test_what_does_something_needs_the_token(operator: Browser, path: str) -> None:
    assert operator.post(path, {"sought": "x", "act": "drop", "id": "x"}).status_code == 403


def test_a_live_page_ends_with_its_session(operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.console.streams.CHECK", 0)
    held = iter([True, True, False])

    async def holds(*_: object) -> bool:
        return next(held)

    monkeypatch.setattr("chatbot.admin.guard.Guard._holds", holds)
    answer = operator.get("/events", accept="text/event-stream")  # which is the whole stream
    assert answer.status_code == 200
    assert "open conversations" in answer.text
    assert list(held) == []


# --- operations ---
def test_the_operations_page_tells_what_is_open_and_what_was_decided(house: House, operator: Browser) -> None:
    house.admit(PERSON, "m1", "m2", "m1")
    house.service.journal.flush()
    page = text(operator.get("/").text)
    assert "1 open conversations" in page
    assert re.search(r"Open windows 1 •••234 \S{4} 2 messages", page)
    assert "process_turn debounced 2 absorbed 1 duplicate" in page
    for queue in ("default", "high", "low"):
        assert queue in page


def test_the_operations_page_tells_of_workers_turns_and_latencies(house: House, operator: Browser) -> None:
    house.run(PERSON, "m1", "m2")
    # What settled is written down a moment later.
    page = wait_until(lambda: "Replies 2 sent" in (said := text(operator.get("/").text)) and said, interval=0.1)
    assert "Workers 1" in page
    assert "Turns 1 settled" in page
    assert re.search(r"Answer time \d+ m?s · p95 \d+", page)


def test_dead_turns_are_counted(house: House, operator: Browser) -> None:
    house.run("bad1", "m1")
    assert "1 dead turns" in text(operator.get("/").text)


# --- conversations and messages ---
def test_a_conversation_is_found_by_its_name_and_by_a_message_of_it(house: House, operator: Browser) -> None:
    house.run(PERSON, "m1", "m2")
    place = find(operator, f"generic:{PERSON}")
    page = operator.get(place).text
    assert "Inbox idle" in text(page)
    assert "1 turn of history" in text(page)
    assert find(operator, "m2").startswith(place + "/")


def test_what_is_not_known_is_said(operator: Browser) -> None:
    answer = operator.submit("/conversations", "/conversations", sought="generic:nobody")
    assert answer.status_code == 404
    assert "Nothing is known of the conversation" in text(answer.text)
    assert operator.get("/conversations/invented").status_code == 404
    assert operator.get("/conversations/-/invented").status_code == 404


def test_a_messages_page_tells_its_story(house: House, operator: Browser) -> None:
    house.admit(PERSON, "m1")
    house.run(PERSON, "m1", "m2")
    page = text(operator.get(find(operator, "m1")).text)
    for said in (
        "completed",
        "came 2 times, taken once",
        "accepted into the window",
        "the window closed",
        "settled, with",
    ):
        assert said in page
    assert "reply 0: " in page


def test_names_and_texts_are_masked_until_somebody_asks_and_each_look_is_logged(
    house: House, operator: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    house.admit(PERSON, "a-message-of-somebody")
    house.service.journal.flush()
    caplog.set_level(logging.INFO, "chatbot")
    conversation = find(operator, f"generic:{PERSON}")
    paths = ["/", "/conversations", conversation, find(operator, "a-message-of-somebody")]
    for path in paths:
        page = operator.get(path).text
        assert PERSON not in page
        assert "a-message-of-somebody" not in page
        assert "secret of" not in page
    assert "was shown" not in caplog.text
    unmask(operator)
    for path in paths:
        assert PERSON in operator.get(path).text
    assert "secret of a-message-of-somebody" in operator.get(conversation).text
    assert f"personal data of the conversation generic::{PERSON} was shown to admin" in caplog.text
    assert "personal data of open conversations was shown to admin" in caplog.text


def test_what_another_message_did_to_it_is_told_without_its_name(house: House, operator: Browser) -> None:
    house.admit(PERSON, "a-message-of-somebody", "m2")
    deletion = message(PERSON, "a-deletion-of-somebody")
    house.service.admit([replace(deletion, kind="delete", target_id="a-message-of-somebody", text=None)])
    house.service.journal.flush()
    places = [find(operator, name) for name in ("a-message-of-somebody", "a-deletion-of-somebody")]
    taken_back, deletion_page = (operator.get(place).text for place in places)
    assert "withdrawn by •••ody before its turn" in text(taken_back)
    assert "a deletion of •••ody, which still waited" in text(deletion_page)
    for page in (taken_back, deletion_page):
        assert "-of-somebody" not in page
        assert PERSON not in page
    unmask(operator)
    assert "withdrawn by a-deletion-of-somebody" in text(operator.get(places[0]).text)


def test_a_name_that_is_a_part_of_a_word_garbles_no_other(house: House, operator: Browser) -> None:
    house.run(PERSON, "e")
    page = text(operator.get(find(operator, "e")).text)
    assert "accepted into the window" in page


# --- what is down ---
def test_a_store_that_is_down_is_said_on_every_page(private_redis: Callable[..., RedisServer]) -> None:
    server = private_redis()
    with running(server.url, CHATBOT_ADMIN_PASSWORD=HASHED) as house, at_console(house) as operator:
        operator.log_in()
        house.admit(PERSON, "m1")
        conversation = find(operator, f"generic:{PERSON}")
        assert "1 open conversations" in text(operator.get("/").text)
        server.kill()
        page = wait_until(lambda: "The store:" in (said := text(operator.get("/").text)) and said, interval=0.2)
        assert "What you see is what was last known." in page
        assert "1 open conversations" in page
        for path in ("/dead-letters", conversation, f"{conversation}/{conversation.rpartition('/')[2]}"):
            assert operator.get(path).status_code == 503
        assert operator.submit("/conversations", "/conversations", sought="x").status_code == 503

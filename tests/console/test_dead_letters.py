"""The pages of dead letters: both kinds are listed, searched, shown, replayed and dropped."""

from __future__ import annotations

import logging
import re
from typing import Any

import dramatiq
import pytest

from chatbot.errors import Permanent, StoreUnavailable
from chatbot.middleware.dead_letters import DeadLetters
from chatbot.operations.dead_collect import collect
from tests.admin.browser import Browser
from tests.console.conftest import find, link, text, unmask
from tests.operations.house import House
from tests.waiting import wait_until


def test_dead_letters_are_listed_and_searched(house: House, operator: Browser) -> None:
    house.run("bad1", "m1")
    house.run("bad2", "m2")
    page = text(operator.get("/dead-letters").text)
    assert "Dead letters 2" in page
    assert page.count("Permanent process_turn 1 item 1 attempt") == 2
    assert "Permanent" in text(operator.get("/dead-letters?search=bad2&actor=process_turn").text)
    assert "No dead letter fits." in text(operator.get("/dead-letters?search=something+else").text)
    assert "No dead letter fits." in text(operator.get("/dead-letters?actor=deliver_replies").text)


def test_a_dead_letters_page_shows_the_traceback_and_its_words_only_when_asked(house: House, operator: Browser) -> None:
    house.run("bad1", "m1")
    place = link(operator.get("/dead-letters").text, "Permanent")
    masked = operator.get(place).text
    assert "Traceback (most recent call last)" in masked
    assert "in respond" in masked
    assert "secret of m1" not in masked
    unmask(operator)
    shown = operator.get(place).text
    assert "cannot answer" in shown
    assert "secret of m1" in shown


def test_a_dead_letter_that_is_gone_is_said(operator: Browser) -> None:
    assert operator.get("/dead-letters/gone-for-good").status_code == 404


def test_one_is_replayed_by_its_own_button(house: House, operator: Browser, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "chatbot")
    house.run("bad1", "m1")
    house.stop()
    (grave,) = house.service.store.graves()
    letter = link(operator.get("/dead-letters").text, "Permanent").rpartition("/")[2]
    operator.submit("/dead-letters", "/dead-letters", replay_one=letter)
    assert "Replayed 1 dead letter, 1 item." in text(operator.get("/dead-letters").text)
    assert house.service.store.graves() == []
    assert house.service.store.inspect(grave.key).state == "accumulating"
    assert f"admin: replay of the dead letter {letter}" in caplog.text


def test_many_are_dropped_after_a_question(house: House, operator: Browser) -> None:
    for number in range(3):
        house.run(f"bad{number}", "m1")
    ids = re.findall(r'name="id" value="([^"]+)"', operator.get("/dead-letters").text)
    form = {"csrf_token": operator.token("/"), "act": "drop", "id": ids[:2]}
    asked = operator.post("/dead-letters", form)
    assert "Drop 2 dead letters for good?" in text(asked.text)
    assert len(house.service.store.graves()) == 3
    operator.post("/dead-letters", {**form, "sure": "1"})
    assert "Dropped 2 dead letters, 2 items." in text(operator.get("/dead-letters").text)
    assert len(house.service.store.graves()) == 1


def test_nothing_chosen_does_nothing(house: House, operator: Browser) -> None:
    house.run("bad1", "m1")
    operator.submit("/dead-letters", "/dead-letters", act="replay")
    operator.submit("/dead-letters", "/dead-letters", act="burn", id="x")
    assert "Nothing was chosen." in text(operator.get("/dead-letters").text)
    assert len(house.service.store.graves()) == 1


def test_what_an_ordinary_calls_error_said_is_masked(house: House, operator: Browser) -> None:
    def report(name: str) -> None:
        raise Permanent(f"cannot report {name}")

    actor: Any = dramatiq.actor(report, broker=house.service.broker, queue_name="default")
    sent = actor.send("Maria")
    house.work()
    wait_until(lambda: house.dead_letters.letters())
    paths = [find(operator, sent.message_id), f"/dead-letters/{sent.message_id}", "/dead-letters"]
    for path in paths:
        answer = operator.get(path)
        assert answer.status_code == 200
        assert "Maria" not in answer.text
    unmask(operator)
    for path in paths[:2]:
        assert "Maria" in operator.get(path).text


def test_what_only_the_broker_has_is_counted_with_its_cure(
    house: House, operator: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report() -> None:
        raise Permanent("no")

    def down(*_: object) -> None:
        raise StoreUnavailable

    actor: Any = dramatiq.actor(report, broker=house.service.broker, queue_name="default")
    client: Any = house.service.broker.client  # type: ignore[attr-defined]
    with monkeypatch.context() as outage:
        outage.setattr(DeadLetters, "write", down)
        actor.send()
        house.work()
        wait_until(lambda: client.zcard("dramatiq:default.XQ"))
    page = wait_until(lambda: "1 dead letter more" in (said := text(operator.get("/dead-letters").text)) and said)
    assert "chatbot dead collect" in page
    assert collect(house.service).collected == 1
    wait_until(lambda: "dead letter more" not in text(operator.get("/dead-letters").text))
    assert "report" in operator.get("/dead-letters").text

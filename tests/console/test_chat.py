"""A conversation as the playground shows it, from the ledger alone."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from chatbot.actors.history import Lines
from chatbot.console.chat import Bubble, read
from chatbot.middleware.turns import turn_id
from chatbot.model import HistoryEntry
from chatbot.operations.dead import letters
from chatbot.stores.values import Offer
from tests.operations.house import House

C1, INBOX = "generic::c1", "process_turn/generic::c1"


def texts(bubbles: list[Bubble]) -> list[str]:
    return [bubble.text for bubble in bubbles]


def test_nobody_has_said_anything(house: House) -> None:
    chat = read(house.service, C1)
    assert (chat.exchanges, chat.turn, chat.window, chat.due_in) == ([], [], [], None)


def test_what_waits_is_in_the_window_until_it_closes(house: House) -> None:
    house.admit("c1", "m1", "m2", "m1")
    chat = read(house.service, C1)
    assert texts(chat.window) == ["secret of m1", "secret of m2"]
    assert chat.due_in is not None
    assert chat.exchanges == chat.turn == []


def test_a_turn_is_told_from_what_came_after_it(house: House) -> None:
    house.admit_at_once("c1", "m1", "m2")
    house.service.store.take_due(10, 5_000, 30_000)
    house.admit("c1", "m3")
    chat = read(house.service, C1)
    assert (texts(chat.turn), texts(chat.window)) == (["secret of m1", "secret of m2"], ["secret of m3"])
    assert chat.due_in is None


def test_what_was_said_is_shown_once_although_it_is_written_down_before_its_turn_settles(house: House) -> None:
    house.admit_at_once("c1", "m1")
    store = house.service.store
    store.take_due(10, 5_000, 30_000)
    turn = turn_id(INBOX, store.peek(INBOX))
    entries = [HistoryEntry(role="user", text="secret of m1", timestamp=datetime.now(UTC))]
    store.remember(C1, turn, msgspec.json.encode(Lines(turn, entries)), 20, 60_000)
    chat = read(house.service, C1)
    assert (chat.exchanges, texts(chat.turn)) == ([], ["secret of m1"])


def test_an_answered_turn_has_its_messages_and_its_replies(house: House) -> None:
    house.run("c1", "m1", "m2")
    (exchange,) = read(house.service, C1).exchanges
    assert texts(exchange.messages) == ["secret of m1", "secret of m2"]
    assert texts(exchange.replies) == ["you said secret of m1", "you said secret of m2"]
    assert not any(reply.waits for reply in exchange.replies)


def test_a_reply_that_was_not_sent_yet_is_on_its_way(house: House) -> None:
    house.run("c1", "m1")
    house.stop()
    store = house.service.store
    (exchange,) = read(house.service, C1).exchanges
    key = exchange.key
    body = msgspec.json.encode({"reply_id": f"{key}_0", "text": "you said secret of m1"})
    outbox = house.service.actors.deliver_replies.options["debounced"].window(60_000)
    store.offer([Offer(key="deliver_replies/generic::c1", item_id="again", body=body, window=outbox)])
    (exchange,) = read(house.service, C1).exchanges
    assert [reply.waits for reply in exchange.replies] == [True]


def test_a_turn_that_was_given_up_leads_to_its_dead_letter(house: House) -> None:
    house.run("bad1", "m1")
    (exchange,) = read(house.service, "generic::bad1").exchanges
    (letter,) = letters(house.service)
    assert (texts(exchange.messages), exchange.dead) == (["secret of m1"], letter.id)

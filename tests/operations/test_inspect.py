"""`inspect` shows a conversation's state now."""

from __future__ import annotations

import re

import pytest

from chatbot.operations.conversations import NotFound
from chatbot.operations.inspect import Mailbox, inspect
from chatbot.operations.inspect_words import words
from chatbot.stores.values import ClaimCheck
from tests.operations.house import House

INBOX = "process_turn/generic::c1"


def inbox(house: House, *, show_text: bool = False) -> Mailbox:
    return inspect(house.service, "generic:c1", show_text=show_text).mailboxes[0]


def begin(house: House, owner: str = "message/delivery") -> ClaimCheck:
    """Let a worker that hangs begin what is due."""
    store = house.service.store
    check = next(check for check in store.take_due(10, 5_000, 30_000).checks if check.key == INBOX)
    store.begin(check, owner, 5_000)
    return check


@pytest.fixture
def slow(house: House) -> House:
    """A house whose conversation c1 has a turn that hangs, and one more message."""
    house.admit_at_once("c1", "m1")
    begin(house)
    house.admit("c1", "m2")
    return house


def test_a_window_shows_its_items_and_when_it_is_due(house: House) -> None:
    house.admit("c1", "m1", "m2")
    box = inbox(house)
    assert (box.name, box.key, box.state, box.attempt) == ("inbox", INBOX, "accumulating", 0)
    assert [(item.id, item.in_turn) for item in box.items] == [("m1", False), ("m2", False)]
    assert box.due_in is not None


def test_a_running_turn_shows_owner_lease_attempt_and_what_waits_behind_it(slow: House) -> None:
    box = inbox(slow)
    assert (box.state, box.owner, box.attempt) == ("running", "message/delivery", 1)
    assert box.lease_in is not None
    assert [(item.id, item.in_turn) for item in box.items] == [("m1", True), ("m2", False)]
    told = words(inspect(slow.service, "generic:c1"))
    assert f"chatbot unlock {INBOX} --epoch {box.epoch} --owner message/delivery" in told


def test_a_back_off_shows_how_long_it_lasts(house: House) -> None:
    house.admit_at_once("c1", "m1")
    check = begin(house)
    house.service.store.finish(check, "message/delivery", "retry", delay=60_000)
    box = inbox(house)
    assert (box.state, box.fails, box.attempt) == ("backing off", 1, 2)
    assert box.hold_in is not None
    assert 0 < box.hold_in <= 60_000
    assert re.search(r"backing off for [\d.]+ (min|s) more", words(inspect(house.service, "generic:c1")))


def test_dead_letters_of_the_conversation_are_shown_with_the_id_that_dead_takes(house: House) -> None:
    house.run("bad1", "m1")
    found = inspect(house.service, "generic:bad1")
    (grave,) = found.mailboxes[0].dead
    assert grave.items == 1
    assert f"dead letter {grave.id}" in words(found)


def test_a_quiet_conversation_shows_its_history(house: House) -> None:
    house.run("c1", "m1")
    found = inspect(house.service, "generic:c1")
    assert ([box.state for box in found.mailboxes], found.history) == (["idle", "idle"], 1)


def test_text_is_shown_only_if_asked_for(slow: House) -> None:
    assert "secret" not in words(inspect(slow.service, "generic:c1"))
    assert "secret of m2" in words(inspect(slow.service, "generic:c1", show_text=True))


@pytest.mark.parametrize("given", ["generic:c1", "generic::c1"])
def test_a_conversation_is_named_by_channel_and_id_or_by_its_key(slow: House, given: str) -> None:
    assert inspect(slow.service, given).conversation == "generic::c1"


def test_an_unknown_conversation_is_not_found_and_the_cure_is_named(house: House) -> None:
    with pytest.raises(NotFound, match=r"'generic:c9'.*CHANNEL:ID"):
        inspect(house.service, "generic:c9")

"""What `verify` reads in the ledger: also where one thing went wrong that a good deployment never does."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any

import pytest
import redis

from chatbot.operations.simulate.delivery import Answer
from chatbot.operations.verify.answers import Burst, deduplication, repeated
from chatbot.operations.verify.ledger import Formed, Ledger
from chatbot.operations.verify.proofs import Proof
from tests.operations.house import House

IDS = ("m1", "m2", "m3")
TAKEN = Answer("accepted", 1, 0.0, 0.001)
SENT = Burst(bodies=(b"",) * 3, firsts=(TAKEN,) * 3, repeat=Answer("duplicate", 1, 0.0, 0.001), widest=0.01)


def ledger(house: House, conversation: str, patience: float = 10.0) -> Ledger:
    return Ledger(house.service, f"generic::{conversation}", IDS, time.monotonic() + patience)


def formed(house: House, conversation: str, sent: Burst = SENT, patience: float = 10.0) -> Formed:
    looked = ledger(house, conversation, patience)
    return asyncio.run(looked.debounce(sent, looked.window()))


def replies(house: House, conversation: str, turn: Formed, *, refusable: bool = False) -> Proof:
    return asyncio.run(ledger(house, conversation).replies(turn, refusable=refusable))


def test_one_turn_and_its_reply_are_seen(house: House) -> None:
    house.admit("c1", *IDS)
    looked = ledger(house, "c1")
    window = looked.window()
    house.work()
    turn = asyncio.run(looked.debounce(SENT, window))
    assert turn.proof.held
    assert re.fullmatch(r"one turn of 3, formed \d+\.\d\d s after the last", turn.proof.came)
    assert replies(house, "c1", turn).came == "3 replies, sent once"
    assert ledger(house, "c1").again(turn) == ""


def test_messages_that_became_two_turns_are_not_called_one(house: House) -> None:
    house.run("c1", "m1", "m2")
    house.run("c1", "m3")
    turn = formed(house, "c1")
    assert (turn.proof.held, turn.proof.came) == (False, "2 turns")
    assert replies(house, "c1", turn).held is None


def test_two_turns_say_nothing_where_the_deliveries_took_too_long(house: House) -> None:
    house.run("c1", "m1", "m2")
    house.run("c1", "m3")
    slow = Burst(bodies=SENT.bodies, firsts=SENT.firsts, repeat=SENT.repeat, widest=0.2)
    turn = formed(house, "c1", slow)
    assert turn.proof.held is None
    assert "try again" in turn.proof.cure


def test_a_message_that_is_missing_in_the_ledger_is_missed(house: House) -> None:
    house.run("c1", "m1", "m2")
    assert formed(house, "c1").proof.came == "messages that this ledger does not know"


def test_a_reply_that_was_refused_is_found_unless_nobody_has_the_number(house: House) -> None:
    house.run("unreachable", *IDS)
    turn = formed(house, "unreachable")
    assert turn.proof.held
    proof = replies(house, "unreachable", turn)
    assert proof.held is False
    assert "nobody takes" in proof.came
    assert replies(house, "unreachable", turn, refusable=True).held is True


def test_a_turn_that_was_given_up_is_found_with_its_reason(house: House) -> None:
    house.run("bad", *IDS)
    proof = formed(house, "bad").proof
    assert proof.held is False
    assert "cannot answer" in proof.came


@pytest.mark.parametrize("settled", [False, True])
def test_an_id_that_was_forgotten_opens_a_window_or_runs_again(house: House, settled: bool) -> None:
    house.run("c1", *IDS)
    turn = formed(house, "c1")
    with redis.Redis.from_url(house.variables["CHATBOT_STORE_URL"]) as client:
        client.delete(*client.keys("*}i:*"))
    house.stop()
    house.admit("c1", *IDS)
    if settled:
        house.work()
        house.idle("c1")
    assert ledger(house, "c1").again(turn) == ("another turn ran" if settled else "a new window opened")


def test_a_window_that_nobody_closes_is_told_as_such(house: House) -> None:
    house.admit_at_once("c1", *IDS)
    proof = formed(house, "c1", patience=0.3).proof
    assert proof.held is False
    assert "a window that nobody closes" in proof.came


@pytest.mark.parametrize(
    ("outcomes", "again", "held"),
    [
        (["duplicate"] * 3, "", True),
        (["duplicate", "accepted", "duplicate"], "", False),
        (["duplicate"] * 3, "another turn ran", False),
    ],
)
def test_a_resend_must_have_no_effect(outcomes: list[str], again: str, held: bool) -> None:
    assert repeated(outcomes, 0.1, "after their turn", again).held is held


def test_the_same_bytes_are_to_be_taken_once() -> None:
    def of(repeat: str) -> Any:
        return Burst(bodies=SENT.bodies, firsts=SENT.firsts, repeat=Answer(repeat, 1, 0.0, 0.001), widest=0.01)

    assert deduplication(of("duplicate")).held
    assert not deduplication(of("accepted")).held

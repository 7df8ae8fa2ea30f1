"""`dead` lists, shows, replays and drops both kinds of dead letters: turns, and ordinary messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.errors import BrokerConnectionError

from chatbot.errors import Permanent
from chatbot.operations.conversations import NotFound
from chatbot.operations.dead import Filter, Letter, letters, named, show
from chatbot.operations.dead_replay import NotReplayed, drop, each, replay
from chatbot.operations.dead_words import table, words
from tests.operations.house import House
from tests.operations.house import house as running
from tests.servers import RedisServer
from tests.waiting import wait_until


@pytest.fixture
def mended() -> list[str]:
    """What the ordinary actor of `both` was called with since it was mended; it fails while this is empty."""
    return []


@pytest.fixture
def both(house: House, mended: list[str]) -> House:
    """A house with a dead letter of each kind: a turn, and a call of an actor `report`."""

    def report(name: str, *, note: str) -> None:
        if not mended:
            raise Permanent(f"cannot report {name}")
        mended.append(f"{name} {note}")

    actor: Any = dramatiq.actor(report, broker=house.service.broker, queue_name="default")
    actor.send("secret name", note="secret note")
    house.run("bad1", "m1")
    wait_until(lambda: len(letters(house.service)) == 2, 20)
    return house


def of_kind(house: House, kind: str) -> Letter:
    (letter,) = [letter for letter in letters(house.service) if letter.kind == kind]
    return letter


# --- list ---
def test_both_kinds_are_listed_with_error_attempts_worker_and_times(both: House) -> None:
    turn, message = of_kind(both, "turn"), of_kind(both, "message")
    assert (turn.actor, turn.error, turn.attempts, turn.key) == (
        "process_turn", "Permanent", 1, "process_turn/generic::bad1",
    )  # fmt: skip
    assert (message.actor, message.error, message.attempts, message.queue) == ("report", "Permanent", 1, "default")
    for letter in (turn, message):
        assert ":" in letter.worker
        assert letter.first_at <= letter.last_at <= time.time() * 1000 + 1_000


def test_the_latest_comes_first(both: House) -> None:
    both.run("bad2", "m3")
    assert letters(both.service)[0].key == "process_turn/generic::bad2"


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        (Filter(actor="report"), ["message"]),
        (Filter(actor="process_turn"), ["turn"]),
        (Filter(search="CANNOT REPORT"), ["message"]),
        (Filter(search="generic::bad1"), ["turn"]),
        (Filter(search="no such thing"), []),
        (Filter(since=1), ["message", "turn"]),
        (Filter(since=9_999_999_999_999), []),
    ],
)
def test_filters_leave_what_fits(both: House, wanted: Filter, kinds: list[str]) -> None:
    assert sorted(letter.kind for letter in letters(both.service, wanted)) == kinds


def test_a_table_shows_a_line_each_and_says_how_many_are_left_out(both: House) -> None:
    found = letters(both.service)
    told = table(found[:1], 2, found[0].last_at + 61_000)
    assert found[0].id in told
    assert "1.02 min ago" in told
    assert "1 dead letter more" in told
    assert "secret" not in table(found, 2, 0)


# --- show ---
def test_a_turn_is_shown_with_its_traceback_and_messages_but_without_their_text(both: House) -> None:
    turn = of_kind(both, "turn")
    shown = show(both.service, turn)
    assert "Traceback" in shown.traceback
    assert [content.text for content in shown.contents] == [None]
    assert "secret" not in words(shown) + shown.said
    told = words(show(both.service, turn, show_text=True))
    assert "item      m1" in told
    assert "cannot answer ['secret of m1']" in told


def test_a_message_is_shown_with_its_arguments_only_if_asked_for(both: House) -> None:
    message = of_kind(both, "message")
    hidden = show(both.service, message)
    assert hidden.args is None
    assert "in report" in words(hidden)
    assert "secret" not in words(hidden) + hidden.said
    shown = show(both.service, message, show_text=True)
    assert (shown.args, shown.kwargs) == (["secret name"], {"note": "secret note"})
    assert "in report" in words(shown)


def test_a_letter_is_named_by_the_beginning_of_its_id(both: House) -> None:
    turn = of_kind(both, "turn")
    assert named(both.service, [turn.id[:8]]) == [turn]
    for given in (turn.id[:3], "ffffffff-none"):
        with pytest.raises(NotFound, match="chatbot dead list"):
            named(both.service, [given])


# --- replay ---
def test_a_replayed_turn_is_tried_again_and_is_no_letter_while_it_waits(both: House) -> None:
    both.stop()
    assert replay(both.service, of_kind(both, "turn")) == 1
    assert [letter.kind for letter in letters(both.service)] == ["message"]
    assert both.service.store.inspect("process_turn/generic::bad1").buffered == 1


def test_a_replayed_message_runs_with_its_arguments_and_its_id(both: House, mended: list[str]) -> None:
    message = of_kind(both, "message")
    mended.append("now")
    assert replay(both.service, message) == 1
    wait_until(lambda: mended[1:] == ["secret name secret note"])
    assert [letter.kind for letter in letters(both.service)] == ["turn"]


def test_a_message_that_the_broker_did_not_confirm_stays_a_letter(
    redis_server: RedisServer, private_redis: Callable[[], RedisServer]
) -> None:
    broker = private_redis()
    with running(redis_server.url.replace("/0", "/5"), CHATBOT_BROKER_URL=broker.url) as house:
        call = MessageProxy(house.service.actors.sweep.message())
        house.dead_letters.after_nack(house.service.broker, call)
        broker.kill()
        with pytest.raises(BrokerConnectionError):
            replay(house.service, of_kind(house, "message"))
        assert of_kind(house, "message").id == call.message_id


def test_a_letter_of_an_actor_that_is_not_declared_here_is_left_where_it_is(both: House) -> None:
    del both.service.broker.actors["report"]
    with pytest.raises(NotReplayed, match="no actor 'report' is declared here"):
        replay(both.service, of_kind(both, "message"))
    assert of_kind(both, "message")


def test_a_letter_that_somebody_else_replayed_is_said_and_the_others_go_on(both: House) -> None:
    both.stop()
    found = letters(both.service)
    drop(both.service, found[-1])
    done = [(items, bool(problem)) for _, items, problem in each(found, lambda letter: replay(both.service, letter))]
    assert done == [(0, True), (1, False)], "the oldest is the first"


# --- drop ---
def test_dropped_letters_are_gone(both: House) -> None:
    assert [drop(both.service, letter) for letter in letters(both.service)] == [1, 1]
    assert letters(both.service) == []
    assert both.admit("bad1", "m1") == ["duplicate"]

"""What a turn leaves is stored with its settlement, or not at all."""

from __future__ import annotations

from typing import Any

import pytest

from chatbot.middleware import current_turn
from tests.middleware.running import House, TroubledStore, window
from tests.waiting import wait_until


class Outbox:
    """An actor that leaves replies, and one that delivers them."""

    def __init__(self, house: House, replies: dict[str, list[str]]) -> None:
        self.house, self.replies = house, replies
        self.delivered: list[str] = []
        self.attempts = 0
        self.failures: list[BaseException] = []
        self.deliver = house.declare(self.on_reply, debounced=window(wait=0, max_wait=0, max_items=1))
        self.answer = house.declare(self.on_item, debounced=window(wait=0))

    def on_reply(self, items: list[str]) -> None:
        self.delivered += items

    def on_item(self, items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        self.attempts += 1
        for item in items:
            for reply in self.replies[item]:
                turn.then(self.deliver.message(reply))
        if self.failures:
            raise self.failures.pop()

    def ask(self, *items: str) -> None:
        for item in items:
            self.answer.send(item)
        self.house.settled(self.answer)
        self.house.settled(self.deliver)


def test_all_follow_ups_run_once_and_in_order(house: House) -> None:
    replies = [f"a{i}" for i in range(10)]
    outbox = Outbox(house, {"a": replies})
    house.work()
    outbox.ask("a")
    assert outbox.delivered == replies


def test_follow_ups_of_turns_leave_in_the_order_of_the_turns(house: House) -> None:
    outbox = Outbox(house, {"a1": ["a-one", "a-two"], "a2": ["a-three"], "a3": ["a-four"]})
    house.work()
    outbox.ask("a1", "a2", "a3")
    assert outbox.delivered == ["a-one", "a-two", "a-three", "a-four"]


def test_a_failed_attempt_leaves_nothing(house: House) -> None:
    outbox = Outbox(house, {"a": ["a1", "a2"]})
    outbox.failures = [ValueError()]
    house.work()
    outbox.ask("a")
    assert (outbox.attempts, outbox.delivered) == (2, ["a1", "a2"])


def test_follow_ups_are_not_doubled_when_the_answer_to_finish_gets_lost(memory: House) -> None:
    assert isinstance(memory.store, TroubledStore)
    outbox = Outbox(memory, {"a": ["a1", "a2"]})
    memory.work()
    memory.store.mute = {"finish"}
    outbox.answer.send("a")
    wait_until(lambda: memory.store.calls["finish"] > 1)
    memory.store.mute = set()
    outbox.ask()
    assert (outbox.attempts, outbox.delivered) == (1, ["a1", "a2"])


@pytest.mark.parametrize("stray", ["another subject", "not debounced", "no key"])
def test_a_follow_up_that_does_not_belong_to_the_turn_buries_it_at_once(memory: House, stray: str) -> None:
    plain = memory.declare(lambda item: None, actor_name="plain")
    attempts: list[Any] = []

    def answer(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        attempts.append(turn)
        turn.then(outbox.deliver.message("a1"))
        if stray == "another subject":
            turn.then(outbox.deliver.message("b1"))
        elif stray == "not debounced":
            turn.then(plain.message("a1"))
        else:
            turn.then(outbox.deliver.message_with_options(args=("a1",), debounced=None))

    outbox = Outbox(memory, {})
    actor = memory.declare(answer, debounced=window(wait=0))
    memory.work()
    actor.send("a")
    memory.settled(actor)
    assert len(attempts) == 1
    assert memory.state(outbox.deliver) == "idle"
    assert outbox.delivered == []


def test_a_follow_up_keeps_its_own_policy(memory: House) -> None:
    outbox = Outbox(memory, {})

    def answer(items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        later = {"wait": 60_000, "max_wait": 60_000, "max_items": 2}
        turn.then(outbox.deliver.message_with_options(args=("a1",), debounced=later))

    actor = memory.declare(answer, debounced=window(wait=0))
    memory.work()
    actor.send("a")
    memory.settled(actor)
    assert memory.state(outbox.deliver) == "accumulating"
    assert outbox.delivered == []

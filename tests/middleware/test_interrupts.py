"""An interrupt may come between any two lines of ours: whatever it cuts off, the work is done in the end, and once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from dramatiq.middleware import Middleware, TimeLimitExceeded

import chatbot.middleware
from chatbot.middleware import Idempotent, current_turn, guarded_stack, once
from tests.middleware.running import House, TroubledStore, window

OURS = str(Path(chatbot.middleware.__file__).parent)


class Interrupter(Middleware):
    """Raises TimeLimitExceeded at the n-th line of ours that runs for a delivery, once."""

    def __init__(self) -> None:
        self.left = 0
        self.actor_name = ""

    def arm(self, lines: int, actor: Any) -> None:
        self.left, self.actor_name = lines, actor.actor_name

    def before_process_message(self, broker: Any, message: Any) -> None:
        sys.settrace(self.trace if self.left and message.actor_name == self.actor_name else None)

    def after_process_message(self, broker: Any, message: Any, **outcome: Any) -> None:
        sys.settrace(None)

    after_skip_message = after_process_message

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None if frame.f_code.co_filename.startswith(str(Path(OURS).parent)) else self.trace
        if event == "line" and self.left:
            self.left -= 1
            if not self.left:
                sys.settrace(None)
                raise TimeLimitExceeded
        return self.trace


@pytest.fixture
def interrupter() -> Iterator[Interrupter]:
    yield Interrupter()
    sys.settrace(None)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an interrupt leaves behind is taken over soon."""
    monkeypatch.setattr("chatbot.middleware.runner.LEASE", 100)
    monkeypatch.setattr("chatbot.middleware.pump.LONGEST", 20)


def lines(step: int) -> Iterator[int]:
    """Every `step`-th line; a run has fewer than this."""
    return iter(range(1, 400, step))


EVERY = [pytest.param(7, id="some lines"), pytest.param(1, id="every line", marks=pytest.mark.long)]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("step", EVERY)
def test_a_turn_settles_once_wherever_it_is_interrupted(
    new_house: Callable[..., House], interrupter: Interrupter, step: int
) -> None:
    store = TroubledStore()
    house = new_house(store, [*guarded_stack(store, again=500), interrupter])
    taken: list[str] = []
    delivered: list[str] = []

    def answer(items: list[str]) -> str:
        turn = current_turn()
        assert turn is not None
        once("step", lambda: taken.append(turn.id))
        for item in items:
            turn.then(deliver.message(item))
        return "+".join(items)

    deliver = house.declare(lambda items: delivered.extend(items), actor_name="deliver", debounced=window(wait=0))
    actor = house.declare(answer, debounced=window(wait=0, attempts=1_000))
    house.work(threads=2)
    sent = []
    for n in lines(step):
        interrupter.arm(n, actor)
        sent.append(f"a{n}")
        actor.send(sent[-1])
        house.settled(actor)
        house.settled(deliver)
        if interrupter.left:
            break
    assert interrupter.left, "the run is longer than that"
    assert delivered == sent


@pytest.mark.parametrize("step", EVERY)
def test_an_idempotent_call_has_one_result_wherever_it_is_interrupted(
    new_house: Callable[..., House], interrupter: Interrupter, step: int
) -> None:
    store = TroubledStore()
    house = new_house(store, [*guarded_stack(store), interrupter])
    runs: list[int] = []

    def charge(order: int) -> int:
        runs.append(order)
        return len(runs)

    actor = house.declare(charge, idempotent=Idempotent(key="{order}", lease=100), store_results=True)
    house.work(threads=2)
    for n in lines(step):
        interrupter.arm(n, actor)
        first, second = (house.result(actor.send(n)) for _ in range(2))
        assert first == second
        if interrupter.left:
            break
    assert interrupter.left, "the run is longer than that"

"""What becomes of a turn whose run fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from dramatiq import Retry
from dramatiq.middleware import Shutdown, TimeLimitExceeded
from dramatiq.threading import raise_thread_exception

from chatbot.errors import Permanent, Transient
from chatbot.middleware import Debounced, Turn, current_turn
from chatbot.middleware.runner import LOSSES
from chatbot.stores.memory import ManualClock
from chatbot.stores.values import ClaimCheck
from tests.middleware.running import House, TroubledStore, window
from tests.waiting import wait_until


class Failing:
    """Fails as told, and remembers every attempt."""

    def __init__(self, failure: Callable[[Turn], BaseException | None]) -> None:
        self.failure = failure
        self.attempts: list[Turn] = []
        self.done: list[str] = []
        self.times: list[float] = []

    def collect(self, items: list[str]) -> None:
        turn = current_turn()
        assert turn is not None
        self.attempts.append(turn)
        self.times.append(time.time())
        if error := self.failure(turn):
            raise error
        self.done += items


def first(error: BaseException) -> Callable[[Turn], BaseException | None]:
    return lambda turn: error if turn.attempt == 1 else None


def poisoned(error: Callable[[], BaseException]) -> Callable[[Turn], BaseException | None]:
    return lambda turn: error() if "a-poison" in turn.items else None


def send(house: House, actor: Any, *items: str) -> None:
    house.broker.enqueue_many([actor.message(item) for item in items])


def test_a_failed_turn_is_tried_again_with_the_same_members_and_id(house: House) -> None:
    failing = Failing(first(ValueError()))
    actor = house.declare(failing.collect, debounced=window())
    send(house, actor, "a1", "a2")
    house.work()
    house.settled(actor)
    one, two = failing.attempts
    assert (one.id, one.epoch, list(one.items)) == (two.id, two.epoch, list(two.items))
    assert (one.attempt, two.attempt) == (1, 2)
    assert failing.done == ["a1", "a2"]


def test_arrivals_during_a_back_off_do_not_join_the_failed_turn(new_house: Callable[..., House]) -> None:
    house = new_house(TroubledStore(clock=(clock := ManualClock())))
    failing = Failing(lambda turn: ValueError() if turn.attempt == 1 and turn.items[0] == "a1" else None)
    actor = house.declare(failing.collect, debounced=window(wait=0, backoff=300, max_backoff=300))
    house.work()
    actor.send("a1")
    wait_until(lambda: house.state(actor) == "backing off")
    actor.send("a2")
    clock.advance(300)
    house.store.wake()
    house.settled(actor)
    assert [list(turn.items) for turn in failing.attempts] == [["a1"], ["a1"], ["a2"]]


@pytest.mark.parametrize(
    "error",
    [Transient(retry_after=0.3), Retry("later", delay=300), type("Theirs", (Exception,), {"retry_after": 0.3})()],
)
def test_an_error_says_how_long_to_wait(house: House, error: Exception) -> None:
    failing = Failing(first(error))
    actor = house.declare(failing.collect, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert failing.times[1] - failing.times[0] >= 0.29


@pytest.mark.parametrize("asked", [float("inf"), 10**9, -5, float("nan"), "soon", None])
def test_an_error_that_asks_for_nonsense_is_retried_all_the_same(memory: House, asked: object) -> None:
    failing = Failing(first(type("Theirs", (Exception,), {"retry_after": asked})()))
    actor = memory.declare(failing.collect, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    wait_until(lambda: memory.state(actor) in ("idle", "backing off"))
    due_in = memory.store.inspect(f"{actor.actor_name}/a").due_in
    assert due_in is None or due_in <= 7 * 86_400_000


def test_a_turn_backs_off_longer_each_time(memory: House) -> None:
    failing = Failing(lambda turn: ValueError() if turn.attempt < 4 else None)
    actor = memory.declare(failing.collect, debounced=window(wait=0, backoff=40, max_backoff=10_000))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    pauses = [after - before for before, after in zip(failing.times, failing.times[1:], strict=False)]
    assert [pause >= least for pause, least in zip(pauses, (0.019, 0.039, 0.079), strict=True)] == [True] * 3


def test_a_permanent_failure_buries_a_single_call_at_once(house: House) -> None:
    failing = Failing(lambda turn: Permanent("no"))
    actor = house.declare(failing.collect, debounced=window(wait=0))
    house.work()
    actor.send("a1")
    house.settled(actor)
    assert len(failing.attempts) == 1


def test_a_buried_call_can_be_replayed(memory: House) -> None:
    failing = Failing(poisoned(lambda: Permanent("no")))
    actor = memory.declare(failing.collect, debounced=window(wait=0))
    memory.work()
    actor.send("a-poison")
    memory.settled(actor)
    failing.failure = lambda turn: None
    policy = actor.options["debounced"].window(1_000)
    assert memory.store.replay(f"{actor.actor_name}/a", failing.attempts[0].epoch, policy) == 1
    memory.settled(actor)
    assert failing.done == ["a-poison"]


@pytest.mark.parametrize("error", [lambda: Permanent("no"), ValueError], ids=["permanent", "every time"])
def test_one_bad_call_is_isolated_and_its_neighbours_complete_in_order(
    house: House, error: Callable[[], BaseException]
) -> None:
    failing = Failing(poisoned(error))
    actor = house.declare(failing.collect, debounced=window(attempts=2))
    send(house, actor, "a1", "a2", "a-poison", "a3", "a4")
    house.work()
    house.settled(actor)
    assert failing.done == ["a1", "a2", "a3", "a4"]


def test_a_turn_is_given_up_after_so_many_attempts(memory: House) -> None:
    failing = Failing(lambda turn: ValueError())
    actor = memory.declare(failing.collect, debounced=window(wait=0, attempts=3))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert [turn.attempt for turn in failing.attempts] == [1, 2, 3]


class Unspeakable(Exception):
    """Cannot be put into words."""

    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [ValueError("half an emoji: \ud83d"), Unspeakable()], ids=["surrogate", "no words"])
def test_whatever_an_error_says_its_turn_can_be_buried(memory: House, error: Exception) -> None:
    failing = Failing(lambda turn: error)
    actor = memory.declare(failing.collect, debounced=window(wait=0, attempts=1))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert len(failing.attempts) == 1


def test_a_dead_letter_says_what_happened(memory: House) -> None:
    failing = Failing(lambda turn: ValueError("out of luck"))
    actor = memory.declare(failing.collect, debounced=window(wait=0, attempts=1))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    turn = failing.attempts[0]
    begun = memory.store.begin(ClaimCheck(turn.key, turn.epoch, 0), "operator", 1_000)
    reason = msgspec.json.decode(begun.value)
    assert begun.verdict == "buried"
    assert (reason["error"], reason["message"], reason["fails"]) == ("ValueError", "out of luck", 1)
    assert "in collect" in reason["traceback"]


def test_an_item_of_the_wrong_type_is_isolated_like_any_bad_call(memory: House) -> None:
    done: list[int] = []

    def collect(items: list[int]) -> None:
        done.extend(items)

    actor = memory.declare(collect, debounced=Debounced(key=lambda item: "a", wait=40, max_wait=40))
    memory.broker.enqueue_many([actor.message(item) for item in (1, "two", 3)])
    memory.work()
    memory.settled(actor)
    assert done == [1, 3]


def test_a_result_that_cannot_be_kept_is_a_failure_not_a_lost_worker(memory: House) -> None:
    runs: list[Turn | None] = []

    def collect(items: list[str]) -> object:
        runs.append(current_turn())
        return object()

    actor = memory.declare(collect, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert len(runs) == 1


def test_a_turn_that_loses_its_workers_is_isolated_like_a_failing_one(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    failing = Failing(lambda turn: None)
    actor = house.declare(failing.collect, debounced=window())
    send(house, actor, "a1", "a2")
    clock.advance(100)
    (check,) = house.store.take_due(1, 1, 1).checks
    for worker in range(LOSSES + 1):
        house.store.begin(check, f"killed{worker}", 10)
        clock.advance(20)
    house.work()
    house.settled(actor)
    assert [list(turn.items) for turn in failing.attempts] == [["a1"], ["a2"]]


def test_a_lost_worker_counts_as_an_attempt_that_may_have_had_effects(new_house: Callable[..., House]) -> None:
    clock = ManualClock()
    house = new_house(TroubledStore(clock=clock))
    failing = Failing(lambda turn: None)
    actor = house.declare(failing.collect, debounced=window())
    send(house, actor, "a1")
    clock.advance(100)
    (check,) = house.store.take_due(1, 1, 1).checks
    house.store.begin(check, "killed", 10)
    clock.advance(20)
    house.work()
    house.settled(actor)
    assert [(turn.attempt, turn.lost) for turn in failing.attempts] == [(2, 1)]


def test_a_worker_that_stops_does_not_bury_what_it_runs(memory: House) -> None:
    failing = Failing(lambda turn: Shutdown() if turn.attempt == 1 else None)
    actor = memory.declare(failing.collect, debounced=window(wait=0, attempts=1))
    memory.work()
    actor.send("a1")
    memory.settled(actor)
    assert failing.done == ["a1"]


def test_a_run_that_is_interrupted_is_repeated(memory: House) -> None:
    inside, runs = threading.Event(), []

    def collect(items: list[str]) -> None:
        runs.append(threading.get_ident())
        if len(runs) == 1:
            inside.set()
            while True:
                time.sleep(0.001)

    actor = memory.declare(collect, debounced=window(wait=0))
    memory.work()
    actor.send("a1")
    assert inside.wait(10)
    raise_thread_exception(runs[0], TimeLimitExceeded)
    memory.settled(actor)
    assert len(runs) == 2

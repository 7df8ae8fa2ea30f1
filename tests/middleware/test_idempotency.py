"""At most one completed run per key, and every duplicate gets its result."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from dramatiq.middleware import AgeLimit, Callbacks, Pipelines, Retries, TimeLimitExceeded
from dramatiq.results import ResultMissing, ResultTimeout

from chatbot.errors import Permanent, Transient
from chatbot.middleware import Deduplicated, Idempotent, guards
from chatbot.stores.memory import ManualClock
from tests.middleware.running import House, TroubledStore
from tests.waiting import wait_until


class Work:
    """An actor that counts its runs, and may be held inside."""

    def __init__(self, house: House, policy: Idempotent | None = None, **options: Any) -> None:
        self.house = house
        self.runs: list[str] = []
        self.failures: list[BaseException] = []
        self.gate = threading.Event()
        self.gate.set()
        policy = policy or Idempotent(key="{order}")
        self.actor = house.declare(self.run, idempotent=policy, store_results=True, **options)

    def run(self, order: str, amount: int = 1, note: str = "") -> str:
        self.runs.append(order)
        assert self.gate.wait(10)
        if self.failures:
            raise self.failures.pop(0)
        return f"{order} #{len(self.runs)}"

    def inside(self) -> None:
        wait_until(lambda: self.runs)


def test_a_duplicate_gets_the_result_of_the_first(house: House) -> None:
    work = Work(house)
    house.work()
    results = [house.result(work.actor.send("o1")) for _ in range(3)]
    assert results == ["o1 #1"] * 3
    assert house.result(work.actor.send("o2")) == "o2 #2"


def test_keys_of_other_actors_and_guarantees_are_other_keys(memory: House) -> None:
    runs: list[str] = []

    def run(order: str) -> str:
        runs.append(order)
        return order

    both = {"idempotent": Idempotent(key="{order}"), "deduplicated": Deduplicated(window=60_000, key="{order}")}
    one = memory.declare(run, actor_name="a", store_results=True, **both)
    other = memory.declare(run, actor_name="a:b", store_results=True, **both)
    memory.work()
    sent = [one.send("b:c"), other.send("c"), one.send("dedup:c"), one.send("c"), one.send("a:c")]
    assert [memory.result(message) for message in sent] == ["b:c", "c", "dedup:c", "c", "a:c"]
    assert len(runs) == 5


def test_a_duplicate_waits_for_the_run_without_spending_a_retry(house: House) -> None:
    work = Work(house, Idempotent(key="{order}", lease=2_500), max_retries=0)
    work.gate.clear()
    house.work()
    first = work.actor.send("o1")
    work.inside()
    second = work.actor.send("o1")
    with pytest.raises(ResultTimeout):
        second.get_result(backend=house.results, block=True, timeout=600)
    work.gate.set()
    assert [house.result(first), house.result(second)] == ["o1 #1"] * 2


def test_a_duplicate_hears_of_the_result_long_before_the_lease_would_end(house: House) -> None:
    work = Work(house, Idempotent(key="{order}", lease=600_000))
    work.gate.clear()
    house.work()
    work.actor.send("o1")
    work.inside()
    second = work.actor.send("o1")
    work.gate.set()
    assert house.result(second) == "o1 #1"


def test_a_failure_releases_the_key_so_that_the_retry_runs(house: House) -> None:
    work = Work(house)
    work.failures = [ValueError(), ValueError()]
    house.work()
    assert house.result(work.actor.send("o1")) == "o1 #3"
    assert work.runs == ["o1"] * 3


def test_the_key_with_another_payload_is_a_dead_letter_at_once(house: House) -> None:
    work = Work(house)
    house.work()
    house.result(work.actor.send("o1", 5))
    reused = work.actor.send("o1", 6)
    with pytest.raises(Exception, match="IdempotencyKeyReused"):
        house.result(reused)
    assert work.runs == ["o1"]


def test_stock_retries_dead_letter_a_reused_key_at_once_and_callbacks_hear_of_it(
    new_house: Callable[..., House],
) -> None:
    store, failures = TroubledStore(), []
    house = new_house(store, [AgeLimit(), Callbacks(), Pipelines(), Retries(), *guards(store)])

    def failed(message: dict[str, Any], error: dict[str, str]) -> None:
        failures.append(error["type"])

    work = Work(house, on_failure=house.declare(failed).actor_name)
    house.work()
    house.result(work.actor.send("o1", 5))
    work.actor.send("o1", 6)
    wait_until(lambda: house.dead)
    wait_until(lambda: failures)
    assert failures == ["IdempotencyKeyReused"]
    assert work.runs == ["o1"]


def test_stock_retries_dead_letter_a_permanent_error_at_once(new_house: Callable[..., House]) -> None:
    store = TroubledStore()
    house = new_house(store, [AgeLimit(), Pipelines(), Retries(), *guards(store)])
    work = Work(house)
    work.failures = [Permanent("no such order")]
    house.work()
    work.actor.send("o1")
    wait_until(lambda: house.dead)
    assert work.runs == ["o1"]


def test_what_an_actor_throws_stays_with_it(memory: House) -> None:
    for throws in (ValueError, (ValueError, KeyError)):
        work = Work(memory, throws=throws)
        work.failures = [ValueError()]
        memory.work()
        work.actor.send("o1")
        wait_until(lambda: memory.dead)
        assert work.runs == ["o1"]
        memory.stop()
        memory.broker.flush_all()


@pytest.mark.parametrize("fingerprint", ["{amount}", lambda order, amount=1, note="": str(amount)])
def test_a_fingerprint_says_which_payloads_are_the_same(house: House, fingerprint: Any) -> None:
    work = Work(house, Idempotent(key="{order}", fingerprint=fingerprint))
    house.work()
    assert house.result(work.actor.send("o1", 5, "one note")) == "o1 #1"
    assert house.result(work.actor.send("o1", 5, "another")) == "o1 #1"
    with pytest.raises(Exception, match="IdempotencyKeyReused"):
        house.result(work.actor.send("o1", 6, "one note"))


@pytest.mark.parametrize("note", ["a|b", "line\nline", "x" * 100_000, ""])
def test_a_fingerprint_may_hold_any_text(house: House, note: str) -> None:
    work = Work(house, Idempotent(key="{order}", fingerprint="{note}"))
    house.work()
    assert house.result(work.actor.send("o1", 5, note)) == "o1 #1"
    assert house.result(work.actor.send("o1", 6, note)) == "o1 #1"


def aged(new_house: Callable[..., House]) -> tuple[House, ManualClock]:
    clock = ManualClock()
    return new_house(TroubledStore(clock=clock)), clock


@pytest.mark.parametrize("ttl", [1_000, timedelta(seconds=1), lambda order, amount=1: amount * 1_000])
def test_a_key_is_free_again_after_its_ttl(new_house: Callable[..., House], ttl: Any) -> None:
    house, clock = aged(new_house)
    work = Work(house, Idempotent(key="{order}", ttl=ttl, result_ttl=10_000))
    house.work()
    assert house.result(work.actor.send("o1")) == "o1 #1"
    clock.advance(990)
    assert house.result(work.actor.send("o1")) == "o1 #1"
    clock.advance(20)
    assert house.result(work.actor.send("o1")) == "o1 #2"


def test_a_result_may_be_forgotten_before_its_key(new_house: Callable[..., House]) -> None:
    house, clock = aged(new_house)
    work = Work(house, Idempotent(key="{order}", ttl=10_000, result_ttl=1_000))
    house.work()
    house.result(work.actor.send("o1"))
    clock.advance(2_000)
    assert house.result(work.actor.send("o1")) is None
    assert work.runs == ["o1"]


def test_a_message_may_override_or_opt_out(memory: House) -> None:
    work = Work(memory)
    memory.work()
    sends = [None, None, {"key": "{note}"}]
    results = [
        memory.result(work.actor.send_with_options(args=("o1",), kwargs={"note": "n"}, idempotent=policy))
        for policy in sends
    ]
    assert results == ["o1 #1", "o1 #2", "o1 #3"]
    assert memory.result(work.actor.send("o1", note="n")) == "o1 #4"


def test_a_key_of_none_opts_out(memory: House) -> None:
    work = Work(memory, Idempotent(key=lambda order, *rest: None))
    memory.work()
    assert [memory.result(work.actor.send("o1")) for _ in range(2)] == ["o1 #1", "o1 #2"]


# --- a store in trouble ---
def troubled(memory: House) -> TroubledStore:
    assert isinstance(memory.store, TroubledStore)
    return memory.store


@pytest.mark.parametrize("trouble", ["down", "mute"])
@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_a_call_waits_for_the_store_and_runs_once(memory: House, verb: str, trouble: str) -> None:
    store, work = troubled(memory), Work(memory)
    getattr(store, trouble).add(verb)
    memory.work()
    message = work.actor.send("o1")
    wait_until(lambda: store.calls[verb] > 2)
    getattr(store, trouble).clear()
    assert memory.result(message) == "o1 #1"
    assert memory.result(work.actor.send("o1")) == "o1 #1"


def test_proceeding_means_running_unguarded_while_the_store_is_down(memory: House) -> None:
    store, work = troubled(memory), Work(memory, Idempotent(key="{order}", on_store_error="proceed"))
    store.down = {"claim"}
    memory.work()
    assert [memory.result(work.actor.send("o1")) for _ in range(2)] == ["o1 #1", "o1 #2"]


def test_proceeding_never_runs_a_call_again_because_it_could_not_be_recorded(memory: House) -> None:
    store, work = troubled(memory), Work(memory, Idempotent(key="{order}", on_store_error="proceed"))
    store.down = {"settle"}
    memory.work()
    assert memory.result(work.actor.send("o1")) == "o1 #1"
    memory.drained()
    assert work.runs == ["o1"]


def test_a_call_that_ran_is_not_repeated_because_the_worker_stops_before_it_is_recorded(memory: House) -> None:
    store, work = troubled(memory), Work(memory)
    store.down = {"settle"}
    memory.work()
    message = work.actor.send("o1")
    wait_until(lambda: store.calls["settle"])
    memory.stop()
    assert memory.result(message) == "o1 #1"
    assert not memory.broker.queues[work.actor.queue_name].qsize()


def test_a_call_is_not_acknowledged_while_the_store_is_down_even_if_the_worker_stops(memory: House) -> None:
    store, work = troubled(memory), Work(memory, max_retries=0)
    store.down = {"claim"}
    memory.work()
    message = work.actor.send("o1")
    wait_until(lambda: store.calls["claim"])
    memory.stop()
    assert memory.broker.queues[work.actor.queue_name].unfinished_tasks == 1
    assert (work.runs, memory.dead) == ([], [])
    with pytest.raises(ResultMissing):
        message.get_result(backend=memory.results)


def test_a_key_that_could_not_be_released_is_free_when_its_lease_ends(memory: House) -> None:
    store, work = troubled(memory), Work(memory, Idempotent(key="{order}", lease=200))
    work.failures = [ValueError()]
    store.down = {"release"}
    memory.work()
    assert memory.result(work.actor.send("o1")) == "o1 #2"


# --- leases ---
def test_a_run_keeps_its_key_for_longer_than_its_lease(house: House) -> None:
    work = Work(house, Idempotent(key="{order}", lease=2_500))
    work.gate.clear()
    house.work()
    first, second = work.actor.send("o1"), work.actor.send("o1")
    work.inside()
    time.sleep(3)  # more than a lease
    work.gate.set()
    assert [house.result(first), house.result(second)] == ["o1 #1"] * 2


def test_a_run_that_lost_its_key_answers_with_the_result_of_its_successor(memory: House) -> None:
    store, work = troubled(memory), Work(memory, Idempotent(key="{order}", lease=100))
    work.gate.clear()
    store.down = {"renew"}
    memory.work()
    first = work.actor.send("o1")
    work.inside()
    second = work.actor.send("o1")
    wait_until(lambda: len(work.runs) == 2)
    work.gate.set()
    results = {memory.result(first), memory.result(second)}
    assert len(results) == 1


def test_an_interrupted_run_releases_its_key(memory: House) -> None:
    work = Work(memory)
    work.failures = [TimeLimitExceeded()]
    memory.work()
    assert memory.result(work.actor.send("o1")) == "o1 #2"


def test_an_error_says_when_a_call_is_tried_again(house: House) -> None:
    work = Work(house)
    work.failures = [Transient(retry_after=0.3)]
    started = time.monotonic()
    house.work()
    assert house.result(work.actor.send("o1")) == "o1 #2"
    assert time.monotonic() - started >= 0.3


def test_a_result_that_cannot_be_kept_is_a_dead_letter_and_frees_the_key(memory: House) -> None:
    runs: list[object] = []

    def run(order: str) -> object:
        runs.append(order)
        return object()

    actor = memory.declare(run, idempotent=Idempotent(key="{order}"))
    memory.work()
    actor.send("o1")
    wait_until(lambda: len(memory.dead) == 1)
    actor.send("o1")
    wait_until(lambda: len(memory.dead) == 2)
    assert len(runs) == 2

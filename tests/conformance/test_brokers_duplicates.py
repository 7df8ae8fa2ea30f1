"""On every broker a duplicate answers like its original: whoever waits for it goes on, and the work is done once."""

from __future__ import annotations

import threading
from typing import Any

import dramatiq
import pytest
from dramatiq.middleware import GroupCallbacks
from dramatiq.rate_limits.backends import StubBackend as StubBarriers
from dramatiq.results.errors import ResultFailure

from chatbot.middleware import Deduplicated, Idempotent, declare
from tests.conformance.broker_harness import QUICK, Transport
from tests.waiting import wait_until

TIMEOUT = 10_000
POLICIES = pytest.mark.parametrize(
    "policy",
    [{"deduplicated": Deduplicated(window=60_000)}, {"idempotent": Idempotent(key="{order}")}],
    ids=["deduplicated", "idempotent"],
)


class Work:
    """An actor whose runs may be held inside."""

    def __init__(self, transport: Transport, **options: Any) -> None:
        self.transport, self.runs, self.gate = transport, list[str](), threading.Event()
        self.gate.set()
        self.broker = transport.broker(GroupCallbacks(StubBarriers()))
        self.actor = self.declare(self.run, store_results=True, **options)

    def declare(self, fn: Any, **options: Any) -> Any:
        return declare(self.broker, fn, queue_name=self.transport.queue(), **{**QUICK, **options})

    def run(self, order: str, amount: int = 1) -> str:
        self.runs.append(order)
        assert self.gate.wait(10)
        return f"{order} #{len(self.runs)}"


@POLICIES
def test_a_pipeline_goes_on_behind_a_duplicate(transport: Transport, policy: dict[str, Any]) -> None:
    work, heard = Work(transport, **policy), list[str]()
    listener = work.declare(heard.append, actor_name="listener")
    with transport.worker(work.broker):
        for _ in range(3):
            dramatiq.pipeline([work.actor.message("o1"), listener.message()], broker=work.broker).run()
        wait_until(lambda: len(heard) == 3)
    assert heard == ["o1 #1"] * 3
    assert work.runs == ["o1"]


@POLICIES
def test_a_groups_callback_runs_once_though_some_of_its_calls_are_duplicates(
    transport: Transport, policy: dict[str, Any]
) -> None:
    work, done = Work(transport, **policy), list[str]()
    finished = work.declare(lambda: done.append("done"), actor_name="finished")
    with transport.worker(work.broker):
        group = dramatiq.group([work.actor.message(order) for order in ("o1", "o2", "o1", "o1")], broker=work.broker)
        group.add_completion_callback(finished.message())
        group.run()
        wait_until(lambda: done)
        first, other, *copies = group.get_results(block=True, timeout=TIMEOUT)
    assert copies == [first] * 2
    assert {first[:2], other[:2]} == {"o1", "o2"}
    assert sorted(work.runs) == ["o1", "o2"]
    assert done == ["done"]


@POLICIES
def test_a_duplicates_own_callback_hears_the_result_of_the_original(
    transport: Transport, policy: dict[str, Any]
) -> None:
    work, heard = Work(transport, **policy), list[str]()

    def succeeded(message: dict[str, Any], result: str) -> None:
        heard.append(result)

    listener = work.declare(succeeded)
    with transport.worker(work.broker):
        for _ in range(2):
            work.actor.send_with_options(args=("o1",), on_success=listener.actor_name)
        wait_until(lambda: len(heard) == 2)
    assert heard == ["o1 #1"] * 2


def test_a_duplicate_waits_for_the_run_without_spending_a_retry(transport: Transport) -> None:
    work = Work(transport, idempotent=Idempotent(key="{order}", lease=2_500), max_retries=0)
    work.gate.clear()
    with transport.worker(work.broker, threads=3):
        first = work.actor.send("o1")
        wait_until(lambda: work.runs)
        copies = [work.actor.send("o1") for _ in range(2)]
        # Several waits, and more than one lease: it is renewed meanwhile.
        with pytest.raises(dramatiq.results.ResultTimeout):
            copies[0].get_result(backend=_backend(work), block=True, timeout=3_000)
        work.gate.set()
        results = [m.get_result(backend=_backend(work), block=True, timeout=TIMEOUT) for m in (first, *copies)]
    assert results == ["o1 #1"] * 3
    assert work.runs == ["o1"]
    assert transport.dead(work.actor.queue_name) == []


def test_a_key_with_another_payload_is_a_dead_letter_after_one_attempt(transport: Transport) -> None:
    work = Work(transport, idempotent=Idempotent(key="{order}"))
    with transport.worker(work.broker):
        work.actor.send("o1", 5).get_result(backend=_backend(work), block=True, timeout=TIMEOUT)
        reused = work.actor.send("o1", 6)
        with pytest.raises(ResultFailure, match="IdempotencyKeyReused"):
            reused.get_result(backend=_backend(work), block=True, timeout=TIMEOUT)
        wait_until(lambda: transport.dead(work.actor.queue_name))
        assert work.actor.send("o1", 5).get_result(backend=_backend(work), block=True, timeout=TIMEOUT) == "o1 #1"
    letters = wait_until(lambda: transport.dead(work.actor.queue_name))  # one that was looked at comes back behind us
    assert [letter.message_id for letter in letters] == [reused.message_id]
    assert work.runs == ["o1"]


def _backend(work: Work) -> Any:
    return next(m for m in work.broker.middleware if isinstance(m, dramatiq.results.Results)).backend

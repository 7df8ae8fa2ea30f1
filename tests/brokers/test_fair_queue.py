"""Fair shares: `high` first, `low` never starved, and one thread that is always free for `high`."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.worker import _WorkQueueItem

from chatbot.brokers.fair_queue import FairQueue, Reserve
from chatbot.brokers.stub import StubBroker
from chatbot.brokers.worker import WEIGHTS, Worker
from tests.waiting import wait_until


def item(queue: str, priority: int = 0, name: str = "") -> Any:
    message: Any = dramatiq.Message(queue_name=queue, actor_name=name, args=(), kwargs={}, options={})
    return _WorkQueueItem(priority, MessageProxy(message))


def filled(**counts: int) -> FairQueue:
    work = FairQueue(WEIGHTS, "high")
    for queue, count in counts.items():
        for _ in range(count):
            work.put(item(queue))
    return work


def taken(work: FairQueue, count: int) -> Counter[str]:
    return Counter(work.get_nowait().message.queue_name for _ in range(count))


def test_queues_with_a_backlog_share_by_weight() -> None:
    assert taken(filled(high=100, default=100, low=100), 120) == {"high": 80, "default": 30, "low": 10}


def test_low_is_not_starved_in_any_stretch_of_its_share() -> None:
    work = filled(high=100, default=100, low=100)
    order = [work.get_nowait().message.queue_name for _ in range(120)]
    assert all("low" in order[start : start + 23] for start in range(len(order) - 23))


def test_a_queue_that_is_alone_gets_everything() -> None:
    assert taken(filled(low=10), 10) == {"low": 10}


def test_a_queue_that_was_empty_has_saved_nothing() -> None:
    work = filled(default=50)
    taken(work, 50)
    for _ in range(20):
        work.put(item("default"))
        work.put(item("low"))
    assert taken(work, 8) == {"default": 6, "low": 2}


def test_inside_a_queue_priority_and_arrival_decide() -> None:
    work = FairQueue(WEIGHTS)
    for priority, name in [(5, "a"), (0, "b"), (5, "c")]:
        work.put(item("default", priority, name))
    assert [work.get_nowait().message.actor_name for _ in range(3)] == ["b", "a", "c"]


def test_an_empty_queue_says_so() -> None:
    with pytest.raises(Empty):
        FairQueue(WEIGHTS).get(timeout=0.01)
    with pytest.raises(Empty):
        Reserve(FairQueue(WEIGHTS, "high")).get(timeout=0.01)


def test_the_reserve_takes_nothing_else_and_wakes_for_its_own() -> None:
    work = FairQueue(WEIGHTS, "high")
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(Reserve(work).get(timeout=5)))
    thread.start()
    work.put(item("default"))
    work.put(item("high"))
    thread.join(5)
    assert [one.message.queue_name for one in got] == ["high"]
    assert work.get_nowait().message.queue_name == "default"


@pytest.fixture
def broker() -> StubBroker:
    return StubBroker(middleware=[])


@pytest.fixture
def working(broker: StubBroker) -> Iterator[Callable[..., Worker]]:
    workers: list[Worker] = []

    def start(**options: Any) -> Worker:
        workers.append(Worker(broker, **options))
        workers[-1].start()
        return workers[-1]

    yield start
    for worker in workers:
        worker.stop(timeout=5000)


def test_urgent_work_never_waits_behind_slow_calls(broker: StubBroker, working: Callable[..., Worker]) -> None:
    release, ran = threading.Event(), []
    slow = dramatiq.actor(lambda: release.wait(10), broker=broker, actor_name="slow", queue_name="default")
    fast = dramatiq.actor(lambda: ran.append(release.is_set()), broker=broker, actor_name="fast", queue_name="high")
    for _ in range(50):
        slow.send()
    worker = working(worker_threads=4)
    wait_until(lambda: worker.work_queue.unfinished_tasks >= 4)
    fast.send()
    wait_until(lambda: ran, 5)
    assert ran == [False]
    release.set()


def test_a_worker_for_one_queue_keeps_no_thread_in_reserve(broker: StubBroker, working: Callable[..., Worker]) -> None:
    barrier = threading.Barrier(4)
    together = dramatiq.actor(lambda: barrier.wait(5), broker=broker, actor_name="together", queue_name="default")
    broker.declare_queue("high")
    working(worker_threads=4, queues=["default"])
    for _ in range(4):
        together.send()
    broker.join("default", timeout=5000)
    assert not barrier.broken


def test_work_that_was_not_begun_is_still_there_after_a_stop(
    broker: StubBroker, working: Callable[..., Worker]
) -> None:
    release, ran = threading.Event(), []

    def run(number: int) -> None:
        release.wait(5)
        ran.append(number)

    actor = dramatiq.actor(run, broker=broker, actor_name="run", queue_name="default")
    for number in range(10):
        actor.send(number)
    worker = working(worker_threads=2)
    wait_until(lambda: worker.work_queue.unfinished_tasks >= 2)
    stopping = threading.Thread(target=worker.stop, kwargs={"timeout": 5000})
    stopping.start()
    release.set()
    stopping.join(10)
    working(worker_threads=2)
    wait_until(lambda: sorted(ran) == list(range(10)))

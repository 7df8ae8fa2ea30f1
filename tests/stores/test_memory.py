"""The memory store is exact to the millisecond, keeps nothing that has expired, and wakes who sleeps."""

from __future__ import annotations

import threading
import time

import pytest

from chatbot.stores.keyspace import SLACK, Expiring, Schedule
from chatbot.stores.memory import ManualClock, MemoryStore
from chatbot.stores.values import DAY, OPEN, Offer, Window
from tests.waiting import wait_until


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def offer(store: MemoryStore, item_id: str, key: str = "turn/a", wait: int = 2_000, max_wait: int = 10_000) -> None:
    to = Window(wait=wait, max_wait=max_wait, max_buffered=100_000)
    store.offer([Offer(key=key, item_id=item_id, body=b"x", window=to)])


def looks(store: MemoryStore) -> int:
    return len(store.take_due(10, 5_000, 30_000).checks)


def test_a_window_is_due_to_the_millisecond_after_its_last_item(store: MemoryStore, clock: ManualClock) -> None:
    offer(store, "1")
    clock.advance(1_500)
    offer(store, "2")
    clock.advance(1_999)
    assert looks(store) == 0
    clock.advance(1)
    assert looks(store) == 1


def test_a_window_is_due_to_the_millisecond_after_max_wait(store: MemoryStore, clock: ManualClock) -> None:
    for n in range(10):
        offer(store, str(n))
        clock.advance(1_000)
        if n < 9:
            assert looks(store) == 0
    assert looks(store) == 1


def test_a_lease_and_its_remainder_are_exact(store: MemoryStore, clock: ManualClock) -> None:
    offer(store, "1", wait=0)
    check = store.take_due(10, 5_000, 30_000).checks[0]
    store.begin(check, "w1", 5_000)
    clock.advance(4_999)
    assert store.begin(check, "w2", 5_000).remaining == 1
    clock.advance(1)
    assert store.begin(check, "w2", 5_000).verdict == "taken"


def test_the_grace_is_exact(store: MemoryStore, clock: ManualClock) -> None:
    offer(store, "1", wait=0)
    check = store.take_due(10, 5_000, 30_000).checks[0]
    store.begin(check, "w1", 5_000)
    store.begin(check, "w2", 5_000, 2_500)
    assert store.take_due(10, 5_000, 30_000).next_look == 2_500
    clock.advance(2_499)
    assert looks(store) == 0
    clock.advance(1)
    assert looks(store) == 1


def test_a_key_gets_a_new_epoch_even_if_the_clock_stands_still_or_steps_back(
    store: MemoryStore, clock: ManualClock
) -> None:
    epochs = []
    for n in range(3):
        offer(store, str(n), wait=0)
        check = store.take_due(10, 5_000, 30_000).checks[0]
        store.begin(check, "w", 5_000)
        store.finish(check, "w", "ok")
        epochs.append(check.epoch)
        clock.advance(-5)
    assert epochs == sorted(set(epochs))


def test_without_a_clock_it_lives_in_the_systems_time() -> None:
    store = MemoryStore()
    offer(store, "1", wait=20, max_wait=20)
    due = wait_until(lambda: store.take_due(10, 5_000, 30_000).checks, 5)
    assert abs(due[0].stamp - time.time_ns() // 1_000_000) < 5_000


def test_a_sleeping_pump_is_woken_from_another_thread(store: MemoryStore) -> None:
    woken = threading.Event()

    def pump() -> None:
        store.sleep(60_000)
        woken.set()

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    offer(store, "1")
    assert woken.wait(10)
    thread.join(10)


def test_threads_that_offer_at_once_lose_nothing(store: MemoryStore) -> None:
    threads = [
        threading.Thread(target=lambda t=t: [offer(store, f"{t}-{n}") for n in range(200)])  # type: ignore[misc]
        for t in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.inspect("turn/a").buffered == 1_600


def test_what_expired_takes_no_room(clock: ManualClock) -> None:
    entries: Expiring[str, int] = Expiring(lambda: clock() // 1_000)
    for n in range(1_000):
        entries.put(str(n), n, 1_000)
    clock.advance(1_000)
    assert entries.get("5") is None
    entries.put("new", 1, DAY)
    assert len(entries) == 1


def test_an_entry_that_is_put_again_lives_for_its_new_time(clock: ManualClock) -> None:
    entries: Expiring[str, int] = Expiring(lambda: clock() // 1_000)
    entries.put("long", 1, 1_000)
    entries.put("long", 2, OPEN)
    entries.put("short", 1, OPEN)
    entries.put("short", 2, 1_000)
    clock.advance(1_000)
    assert (entries.get("long"), entries.get("short")) == (2, None)
    assert entries.ttl("long") == OPEN - 1_000


def test_entries_that_are_dropped_leave_nothing_behind(clock: ManualClock) -> None:
    entries: Expiring[str, int] = Expiring(lambda: clock() // 1_000)
    for n in range(10_000):
        entries.put("same", n, OPEN)
        entries.pop("same")
    entries.put("last", 1, OPEN)
    assert len(entries._ends) <= SLACK + 2


def test_a_schedule_tells_what_is_due_the_most_overdue_first() -> None:
    schedule = Schedule()
    for key, at in [("b", 20), ("a", 20), ("c", 10), ("d", 30), ("c", 25), ("e", 5)]:
        schedule.set(key, at)
    schedule.drop("e")
    schedule.drop("never there")
    assert schedule.head() == (20, "a")
    assert schedule.due(25, 10) == ["a", "b", "c"]
    assert schedule.due(25, 2) == ["a", "b"]
    assert schedule.due(19, 10) == []
    assert (schedule.time("d"), schedule.time("e")) == (30, None)

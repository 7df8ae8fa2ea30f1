"""The journal is best effort and cheap: it never makes a caller wait, and never keeps more than it has room for."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from chatbot.errors import StoreUnavailable
from chatbot.middleware import guarded_stack
from chatbot.middleware import journal as module
from chatbot.middleware.events import Event, Happened, _set_right, erase, happened
from chatbot.middleware.journal import Journal
from chatbot.middleware.observer import Judged
from chatbot.stores.memory import ManualClock, MemoryStore
from chatbot.stores.operators import Note
from chatbot.stores.values import Entry
from tests.middleware.running import House, memory_house, window
from tests.waiting import wait_until


class NotingStore(MemoryStore):
    """Counts the calls of `note`, and which threads make them; refuses them while it is down."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls: list[tuple[str, int]] = []
        self.down = False

    def note(self, notes: Sequence[Note], most: int, ttl: int) -> None:
        self.calls.append((threading.current_thread().name, len(notes)))
        if self.down:
            raise StoreUnavailable()
        super().note(notes, most, ttl)


def decide(journal: Journal, number: int = 1) -> None:
    for i in range(number):
        journal.decided([Judged("turn", f"d{i}", "turn/a", f"m{i}", "absorbed", "debounced", "")])


def test_events_are_written_by_another_thread_many_in_one_call() -> None:
    store = NotingStore()
    journal = Journal(store)
    decide(journal, 50)
    wait_until(lambda: len(happened(store, subject="a")) == 50)
    assert {name for name, _ in store.calls} == {"journal"}
    assert len(store.calls) <= 2
    journal.close()


def test_what_exceeds_its_room_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    store = NotingStore()
    monkeypatch.setattr(module, "PAUSE", 60.0)
    journal = Journal(store, room=10)
    decide(journal, 25)
    assert journal.dropped == 15
    journal.close()
    assert len(happened(store, subject="a")) == 10


def test_a_store_that_is_down_costs_events_which_are_counted_and_nothing_else() -> None:
    store = NotingStore()
    store.down = True
    journal = Journal(store)
    decide(journal, 250)
    wait_until(lambda: journal.dropped == 250)
    store.down = False
    decide(journal)
    wait_until(lambda: len(happened(store, subject="a")) == 1)
    journal.close()


def test_its_thread_ends_when_nothing_happens_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE", 0.01)
    monkeypatch.setattr(module, "PAUSE", 0.001)
    store = NotingStore()
    journal = Journal(store)
    for written in (1, 2, 3):
        decide(journal)
        wait_until(lambda written=written: len(happened(store, subject="a")) == written)
        wait_until(lambda: journal._writer is None)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_writes_with_a_thread_of_its_own() -> None:
    store = NotingStore()
    journal = Journal(store)
    decide(journal)
    wait_until(lambda: happened(store, subject="a"))
    if (child := os.fork()) == 0:
        decide(journal)
        store.calls.clear()
        try:
            wait_until(lambda: store.calls, 10)
        finally:
            os._exit(0 if store.calls else 1)
    assert os.waitpid(child, 0)[1] == 0
    journal.close()


def test_an_event_is_dated_when_it_happened_not_when_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    store = MemoryStore(clock=clock)
    journal = Journal(store)
    monkeypatch.setattr(journal, "_start", lambda: None)
    begin, then = clock() // 1000, module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: then)
    decide(journal)
    clock.advance(700)
    monkeypatch.setattr(module.time, "monotonic", lambda: then + 0.7)
    journal.flush()
    (only,) = happened(store, subject="a")
    assert abs(only.at - begin) < 100


def test_events_of_one_process_stay_in_their_order_however_long_they_were_on_their_way() -> None:
    def at(ms: int, what: str, worker: str) -> Happened:
        return Happened(ms, Event(what=what, key="k", worker=worker))

    found = [at(50, "began", "w1"), at(10, "published", "w2"), at(40, "ended", "w1")]
    assert [(one.at, one.event.what) for one in _set_right(found)] == [
        (40, "began"), (10, "published"), (40, "ended"),
    ]  # fmt: skip


def test_an_error_that_cannot_be_read_is_noted_nevertheless() -> None:
    class Unreadable(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    store = MemoryStore()
    journal = Journal(store)
    journal.settled("turn/a", 1, "kept", [Entry(1, "d", b"")], [], Unreadable())
    journal.settled("turn/a", 1, "kept", [Entry(1, "d", b"")], [], ValueError("half a pair \ud800"))
    journal.close()
    assert [one.event.error for one in happened(store, subject="a")] == ["Unreadable", "ValueError"]


@pytest.fixture
def journaled() -> House:
    """A house whose guards write a journal."""
    store = MemoryStore()
    house = memory_house(store, guarded_stack(store, observers=[Journal(store)]))
    yield house
    house.close()


def test_a_burst_leaves_its_decisions_its_turn_and_its_end(journaled: House) -> None:
    def turn(items: list[str]) -> None:
        pass

    actor = journaled.declare(turn, debounced=window())
    for item in ("a1", "a2"):
        actor.send(item)
    journaled.work()
    journaled.settled(actor)
    wait_until(lambda: "ended" in [one.event.what for one in happened(journaled.store, subject="a")])
    told = [one.event for one in happened(journaled.store, subject="a")]
    assert [event.what for event in told] == ["decided", "decided", "published", "began", "ended"]
    began, ended = told[3:]
    assert (began.size, len(began.members), ended.outcome) == (2, 2, "settled")
    assert began.turn_id == ended.turn_id != ""


def test_it_holds_no_payload(journaled: House) -> None:
    def turn(items: list[str]) -> None:
        pass

    actor = journaled.declare(turn, debounced=window())
    journaled.work()
    actor.send("a secret")
    journaled.settled(actor)
    wait_until(lambda: "ended" in [one.event.what for one in happened(journaled.store, subject="a")])
    assert "secret" not in repr(happened(journaled.store, subject="a"))


def test_a_subject_is_erased_alone() -> None:
    store = MemoryStore()
    journal = Journal(store)
    for key in ("turn/a", "turn/b"):
        journal.published(key, 1, 1)
    journal.close()
    assert erase(store, "a") == 1
    assert happened(store, subject="a") == []
    assert len(happened(store, subject="b")) == 1

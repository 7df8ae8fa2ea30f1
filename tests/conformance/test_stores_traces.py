"""Every store tells an operator what became of an item, what waits, and what is buried."""

from __future__ import annotations

from dataclasses import replace

from chatbot.stores.values import DAY, OPEN, digest
from tests.conformance.ledgers import LEASE, Ledger, window

URGENT = {"wait": 0, "max_wait": 0}


def bury(ledger: Ledger, *items: str, key: str = "turn/a", reason: bytes = b"why") -> int:
    ledger.offer(*items, key=key, **URGENT)
    check = ledger.run(key=key)
    assert ledger.finish(check, outcome="dead", value=reason) == "settled"
    return check.epoch


# --- trace ---
def test_an_item_that_never_came_has_no_trace(ledger: Ledger) -> None:
    trace = ledger.store.trace("turn/a", "1")
    assert (trace.epoch, trace.digest) == (None, digest("turn/a", "1"))


def test_an_open_item_has_a_place_and_the_time_at_which_it_came(ledger: Ledger) -> None:
    ledger.offer("1", "2")
    ledger.advance(5_000)
    ledger.offer("3")
    second, third = (ledger.store.trace("turn/a", item) for item in ("2", "3"))
    assert (second.epoch, second.place, third.place) == (0, 1, 2)
    assert second.arrived is not None
    assert third.arrived is not None
    assert 5_000 <= third.arrived - second.arrived < 8_000
    assert OPEN - 10_000 < second.ttl <= OPEN


def test_a_settled_item_names_its_turn_and_who_ran_it_while_the_result_is_kept(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.finish(check, "w1", result_ttl=60_000)
    trace = ledger.store.trace("turn/a", "1")
    assert (trace.epoch, trace.outcome, trace.owner, trace.place) == (check.epoch, "ok", "w1", None)
    assert DAY - 3_000 < trace.ttl <= DAY
    ledger.advance(61_000)
    trace = ledger.store.trace("turn/a", "1")
    assert (trace.epoch, trace.outcome, trace.owner) == (check.epoch, "", "")
    ledger.advance(DAY)
    assert ledger.store.trace("turn/a", "1").epoch is None


def test_a_buried_item_and_a_withdrawn_one_say_so(ledger: Ledger) -> None:
    bury(ledger, "1")
    assert ledger.store.trace("turn/a", "1").outcome == "dead"
    ledger.offer("2")
    assert ledger.edit("withdraw", "e", "2") == "withdrawn"
    assert ledger.store.trace("turn/a", "2").epoch == -1


# --- peek and inspect ---
def test_a_peek_shows_turn_and_window_in_order_and_changes_nothing(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    ledger.run("w1")
    ledger.offer("3")
    before = ledger.store.inspect("turn/a")
    entries = ledger.store.peek("turn/a")
    assert [entry.body for entry in entries] == [b"1", b"2", b"3"]
    assert [entry.digest for entry in entries] == [digest("turn/a", item) for item in "123"]
    after = ledger.store.inspect("turn/a")
    assert replace(after, now=0, due_in=0, lease_in=0) == replace(before, now=0, due_in=0, lease_in=0)
    assert ledger.store.peek("turn/none") == []


def test_an_operator_sees_how_long_lease_and_back_off_last(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    seen = ledger.store.inspect("turn/a")
    assert seen.lease_in is not None
    assert LEASE - 2_400 < seen.lease_in <= LEASE
    assert seen.hold_in is None
    ledger.finish(check, "w1", "retry", delay=60_000)
    seen = ledger.store.inspect("turn/a")
    assert seen.hold_in is not None
    assert 57_000 < seen.hold_in <= 60_000
    assert seen.lease_in is None


def test_an_operator_sees_bytes_publications_and_the_parts_of_a_bisected_turn(ledger: Ledger) -> None:
    ledger.offer("11", "22", "33", "44", "55", **URGENT)
    check = ledger.take()
    ledger.hand_over(check)
    assert ledger.store.inspect("turn/a").publications == 1
    ledger.begin(check)
    ledger.finish(check, outcome="split")
    seen = ledger.store.inspect("turn/a")
    assert (seen.bytes, seen.parts, seen.size, seen.buffered) == (10, (2, 3), 0, 5)


# --- graves ---
def test_graves_are_listed_newest_first_with_reason_and_size(ledger: Ledger) -> None:
    first = bury(ledger, "1", "2", reason=b"first")
    ledger.advance(1_000)
    second = bury(ledger, "3", key="turn/b", reason=b"second")
    graves = ledger.store.graves()
    seen = [(grave.key, grave.epoch, grave.reason, grave.size) for grave in graves]
    assert seen == [("turn/b", second, b"second", 1), ("turn/a", first, b"first", 2)]
    assert 1_000 <= graves[0].at - graves[1].at < 4_000
    assert [grave.key for grave in ledger.store.graves("turn/a")] == ["turn/a"]
    assert ledger.store.graves("turn/none") == []


def test_a_grave_shows_its_items_for_longer_than_the_result_is_kept(ledger: Ledger) -> None:
    epoch = bury(ledger, "1", "2")
    ledger.advance(2 * DAY)
    grave = ledger.store.grave("turn/a", epoch)
    assert grave is not None
    assert ([entry.body for entry in grave.entries], grave.reason, grave.size) == ([b"1", b"2"], b"why", 2)
    assert ledger.store.grave("turn/a", epoch + 1) is None


def test_a_dropped_grave_is_gone_and_its_items_stay_settled(ledger: Ledger) -> None:
    epoch, other = bury(ledger, "1", "2"), bury(ledger, "3")
    assert ledger.store.drop("turn/a", epoch) == 2
    assert ledger.store.drop("turn/a", epoch) == 0
    assert ledger.store.grave("turn/a", epoch) is None
    assert [grave.epoch for grave in ledger.store.graves()] == [other]
    assert [part.dead for part in ledger.store.survey()] == [1]
    assert ledger.offer("1") == ["duplicate"]
    assert ledger.store.replay("turn/a", epoch, window()) == 0


def test_a_replayed_turn_has_no_grave(ledger: Ledger) -> None:
    epoch = bury(ledger, "1")
    ledger.store.replay("turn/a", epoch, window(**URGENT))
    assert ledger.store.graves() == ledger.store.graves("turn/a") == []


# --- histories ---
def test_entries_are_taken_out_of_a_history_one_by_one(ledger: Ledger) -> None:
    for name in ("x", "y", "z"):
        ledger.store.remember("a", name, name.encode(), 10, 60_000)
    assert ledger.store.omit("a", ["y", "none", "x"]) == 2
    assert ledger.store.recall("a") == [b"z"]
    assert ledger.store.omit("a", ["y"]) == ledger.store.omit("none", ["y"]) == 0

"""Every store keeps the limits of a key, and edits what has not been taken yet."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chatbot.stores.values import FollowUp, Offer
from tests.conformance.ledgers import Ledger, bodies, window

URGENT = {"wait": 0, "max_wait": 0}
FEW = {"max_buffered": 3, "max_buffered_bytes": 50}


# --- the size of a turn ---
def test_a_turn_never_has_more_than_a_thousand_items(ledger: Ledger) -> None:
    ids = [str(n) for n in range(1_001)]
    answers = ledger.offer(*ids, max_items=5_000, max_buffered=5_000)
    assert answers[998:1_000] == ["joined", "full"]
    assert [len(turn) for turn in ledger.run_all()] == [1_000]
    ledger.advance(20_000)
    assert ledger.run_all() == [["1000"]]


def test_answers_of_a_large_batch_come_in_the_order_of_its_offers(ledger: Ledger) -> None:
    to = window()
    offers = [Offer(key=f"turn/{n % 7}", item_id=str(n), body=b"", window=to) for n in range(250)]
    assert [a.verdict for a in ledger.store.offer(offers)] == ["opened"] * 7 + ["joined"] * 243
    again = ledger.store.offer([*offers[200:], *offers[:3], replace(offers[0], item_id="new")])
    assert [a.verdict for a in again] == ["duplicate"] * 53 + ["joined"]


def test_an_empty_batch_is_answered_with_nothing(ledger: Ledger) -> None:
    assert ledger.store.offer([]) == []
    assert ledger.store.renew([], 1_000) == []
    assert ledger.store.handed_over([], 1_000) == []


def test_a_turn_has_as_many_items_as_its_policy_says(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", "4", "5", wait=0, max_items=2)
    assert ledger.run_all() == [["1", "2"], ["3", "4"], ["5"]]


def test_a_turn_has_at_most_max_bytes(ledger: Ledger) -> None:
    ledger.offer("aaaa", "bbbb", "cccc", "dd", wait=0, max_bytes=9)
    assert ledger.run_all() == [["aaaa", "bbbb"], ["cccc", "dd"]]


def test_an_item_larger_than_max_bytes_is_a_turn_of_its_own(ledger: Ledger) -> None:
    ledger.offer("a" * 10, "b" * 10, "c", wait=0, max_bytes=5)
    assert ledger.run_all() == [["a" * 10], ["b" * 10], ["c"]]


def test_an_item_without_a_body_is_an_item(ledger: Ledger) -> None:
    ledger.store.offer([Offer(key="turn/a", item_id="1", body=b"", window=window(**URGENT))])
    assert ledger.run_all() == [[""]]


# --- floods ---
def test_too_many_items_overflow(ledger: Ledger) -> None:
    assert ledger.offer("1", "2", "3", "4", **FEW) == ["opened", "joined", "joined", "overflow"]


def test_too_many_bytes_overflow_and_smaller_items_still_fit(ledger: Ledger) -> None:
    assert ledger.offer("a" * 45, "b" * 6, "c" * 5, **FEW) == ["opened", "overflow", "joined"]


def test_a_known_item_is_a_duplicate_however_full_the_buffer_is(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", **FEW)
    assert ledger.offer("1", **FEW) == ["duplicate"]


def test_an_overflow_leaves_nothing_not_even_the_id(ledger: Ledger) -> None:
    assert ledger.offer("z" * 51, **FEW) == ["overflow"]
    assert ledger.store.inspect("turn/a").state == "idle"
    assert ledger.look().next_look is None
    assert ledger.offer("z" * 51, max_buffered_bytes=100) == ["opened"]


def test_an_overflow_does_not_change_the_policy(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", **FEW)
    assert ledger.offer("4", **FEW, **URGENT) == ["overflow"]
    assert not ledger.published()


def test_the_limits_count_the_turn_and_the_window(ledger: Ledger) -> None:
    ledger.offer("1", "2", **FEW, **URGENT)
    check = ledger.run()
    assert ledger.offer("3", "4", **FEW, **URGENT) == ["opened", "overflow"]
    ledger.finish(check)
    assert ledger.offer("4", **FEW, **URGENT) == ["full"]
    assert ledger.run_all() == [["3", "4"]]


def test_settled_bytes_are_free_again(ledger: Ledger) -> None:
    ledger.offer("a" * 30, **FEW, **URGENT)
    check = ledger.run()
    ledger.offer("b" * 20, **FEW, **URGENT)
    assert ledger.offer("c", **FEW) == ["overflow"]
    ledger.finish(check)
    assert ledger.offer("c" * 30, "d", **FEW) == ["full", "overflow"]


def test_follow_ups_are_exempt_from_the_limits(ledger: Ledger) -> None:
    few = window(**URGENT, max_items=1, max_buffered=1, max_buffered_bytes=1)
    ledger.offer("1", **URGENT)
    replies = [FollowUp(key="out/a", item_id=f"r{n}", body=b"reply", window=few) for n in range(3)]
    ledger.finish(ledger.run(), follow_ups=replies)
    assert len(ledger.run_all(key="out/a")) == 3


def test_replays_are_exempt_from_the_limits(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", **FEW, **URGENT)
    check = ledger.run()
    ledger.finish(check, outcome="dead")
    ledger.offer("4", "5", "6", **FEW)
    assert ledger.store.replay("turn/a", check.epoch, window(**FEW)) == 3
    assert ledger.store.inspect("turn/a").buffered == 6


# --- amending ---
def test_an_amended_item_keeps_its_place(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", wait=0)
    assert ledger.edit("amend", "e", "2", "edited") == "amended"
    assert ledger.run_all() == [["1", "edited", "3"]]


def test_an_edit_has_an_id_of_its_own(ledger: Ledger) -> None:
    ledger.offer("1")
    assert ledger.edit("amend", "e", "1", "edited") == "amended"
    assert ledger.edit("amend", "e", "1", "edited") == "duplicate"
    assert [(a.verdict, a.epoch) for a in ledger.answers("e")] == [("duplicate", -1)]


def test_an_edit_of_what_was_taken_joins_as_an_item(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    assert ledger.edit("amend", "e", "1", "edited", **URGENT) == "opened"
    assert bodies(ledger.begin(check)) == ["1"]
    ledger.finish(check)
    assert ledger.run_all() == [["edited"]]


def test_an_edit_of_what_is_unknown_joins_as_an_item(ledger: Ledger) -> None:
    assert ledger.edit("amend", "e", "never seen", "edited", **URGENT) == "opened"
    assert ledger.run_all() == [["edited"]]


def test_an_edit_of_a_window_behind_a_run_reaches_only_the_window(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.offer("2", **URGENT)
    assert ledger.edit("amend", "e", "2", "edited") == "amended"
    ledger.finish(check)
    assert ledger.run_all() == [["edited"]]


def test_an_edit_that_grows_too_much_overflows_and_leaves_nothing(ledger: Ledger) -> None:
    ledger.offer("1" * 40, **FEW)
    assert ledger.edit("amend", "e", "1" * 40, "z" * 51, **FEW) == "overflow"
    assert ledger.edit("amend", "e", "1" * 40, "z" * 50, **FEW) == "amended"


def test_only_the_growth_of_an_edit_counts(ledger: Ledger) -> None:
    ledger.offer("a" * 25, "b" * 25, **FEW)
    assert ledger.edit("amend", "e", "a" * 25, "c" * 20, max_buffered_bytes=10) == "amended"
    assert ledger.offer("d" * 6, "d" * 5, **FEW) == ["overflow", "joined"]


# --- withdrawing ---
def test_a_withdrawn_item_leaves_the_window_and_stays_known(ledger: Ledger) -> None:
    ledger.offer("1", "2")
    assert ledger.edit("withdraw", "w", "1") == "withdrawn"
    assert [(a.verdict, a.epoch) for a in ledger.answers("1", "w")] == [("duplicate", -1), ("duplicate", -1)]
    ledger.advance(20_000)
    assert ledger.run_all() == [["2"]]


def test_withdrawing_the_only_item_leaves_the_key_idle(ledger: Ledger) -> None:
    ledger.offer("1")
    assert ledger.edit("withdraw", "w", "1") == "withdrawn"
    assert ledger.store.inspect("turn/a").state == "idle"
    assert ledger.look().next_look is None


def test_a_withdrawn_items_bytes_are_free_again(ledger: Ledger) -> None:
    ledger.offer("a" * 45, "b", **FEW)
    ledger.edit("withdraw", "w", "a" * 45)
    assert ledger.offer("c" * 49, **FEW) == ["joined"]


def test_withdrawing_the_last_urgent_item_behind_a_run_ends_the_hurry(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.offer("2", **URGENT)
    assert ledger.edit("withdraw", "w", "2") == "withdrawn"
    ledger.offer("3")
    ledger.finish(check)
    assert not ledger.published()


@pytest.mark.parametrize("state", ["unknown", "taken", "settled", "withdrawn"])
def test_withdrawing_what_is_not_in_the_window_is_late_and_leaves_nothing(ledger: Ledger, state: str) -> None:
    if state != "unknown":
        ledger.offer("1", **URGENT)
    if state in ("taken", "settled"):
        check = ledger.run()
    if state == "settled":
        ledger.finish(check)
    if state == "withdrawn":
        ledger.edit("withdraw", "w0", "1")
    assert ledger.edit("withdraw", "w", "1") == "late"
    assert ledger.edit("withdraw", "w", "1") == "late"


def test_parts_of_a_split_turn_are_neither_withdrawn_nor_amended(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    ledger.finish(ledger.run(), outcome="split", delay=10_000)
    ledger.offer("3")
    assert ledger.edit("withdraw", "w1", "1") == "late"
    assert ledger.edit("amend", "e2", "2", "edited") not in ("amended", "overflow")
    assert ledger.edit("withdraw", "w3", "3") == "withdrawn"
    ledger.advance(10_000)
    assert ledger.run_all()[:2] == [["1"], ["2"]]


def test_a_running_part_shields_the_parts_that_wait_from_edits(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", **URGENT)
    ledger.finish(ledger.run(), outcome="split")
    check = ledger.run("w1")
    assert ledger.edit("withdraw", "w", "3") == "late"
    ledger.finish(check, "w1")
    assert ledger.run_all() == [["2", "3"]]

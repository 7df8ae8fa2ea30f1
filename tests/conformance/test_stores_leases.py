"""Every store ends leases, back-offs and a pump's sleep in time, and none of them early."""

from __future__ import annotations

import time

import pytest

from tests.conformance.ledgers import GRACE, LEASE, Ledger

URGENT = {"wait": 0, "max_wait": 0}
#: Real time may pass too: what is "not yet" leaves this much.
SLACK = 2_400


# --- leases ---
def test_a_lapsed_lease_is_published_again(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE - SLACK)
    assert not ledger.published()
    assert ledger.begin(check, "w2").verdict == "busy"
    ledger.advance(SLACK)
    assert ledger.published()
    assert ledger.begin(check, "w2").verdict == "taken"


def test_a_renewed_lease_is_not_published_before_its_new_end(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.run()
    ledger.advance(LEASE - SLACK)
    ledger.renew()
    ledger.advance(LEASE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.published()


def test_an_owner_that_renews_after_the_publication_keeps_its_turn(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE)
    copy = ledger.take()
    assert ledger.renew("w1")
    assert ledger.begin(copy, "w2").verdict == "busy"
    assert ledger.finish(check, "w1") == "settled"


def test_a_redelivered_copy_ends_a_dead_owners_lease_after_the_grace(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    assert ledger.begin(check, "w2", grace=GRACE).verdict == "busy"
    next_look = ledger.look().next_look
    assert next_look is not None
    assert GRACE - SLACK < next_look <= GRACE
    ledger.advance(GRACE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    copy = ledger.take()
    taken = ledger.begin(copy, "w3")
    assert (taken.verdict, taken.lost) == ("taken", 1)


def test_the_grace_counts_from_the_last_renewal(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(2_000)
    ledger.renew("w1")
    ledger.begin(check, "w2", grace=GRACE)
    ledger.advance(GRACE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.published()


def test_a_suspicion_does_not_outlast_the_lease(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.begin(check, "w2", grace=60_000)
    ledger.advance(LEASE)
    assert ledger.published()


def test_a_copy_alone_does_not_take_over_before_a_look_ended_the_lease(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.begin(check, "w2", grace=GRACE)
    ledger.advance(GRACE)
    assert ledger.begin(check, "w2", grace=GRACE).verdict == "busy"


def test_a_renewal_clears_the_suspicion(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.begin(check, "w2", grace=GRACE)
    ledger.advance(1_000)
    ledger.renew("w1")
    ledger.advance(LEASE - SLACK)
    assert not ledger.published()


def test_a_takeover_clears_the_suspicion_of_the_last_owner(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.begin(check, "w2", grace=LEASE + 4_000)
    ledger.advance(LEASE)
    assert ledger.begin(check, "w3").verdict == "taken"
    ledger.advance(LEASE - SLACK)
    assert not ledger.published()


def test_a_copy_that_was_not_redelivered_raises_no_suspicion(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.begin(check, "w2")
    ledger.advance(GRACE + 500)
    assert not ledger.published()


# --- back-off ---
def test_a_failed_turn_is_published_after_its_delay(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.finish(check, "w1", "retry", delay=10_000)
    ledger.advance(10_000 - SLACK)
    assert not ledger.published()
    assert ledger.begin(check, "w2").verdict == "busy"
    ledger.advance(SLACK)
    assert ledger.published()
    assert ledger.begin(check, "w2").verdict == "new"


def test_an_urgent_arrival_does_not_end_a_back_off(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run(), outcome="retry", delay=10_000)
    ledger.offer("2", **URGENT)
    assert not ledger.published()


def test_the_parts_of_a_split_turn_wait_for_its_delay(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    ledger.finish(ledger.run(), outcome="split", delay=10_000)
    ledger.advance(10_000 - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.run_all() == [["1"], ["2"]]


def test_superseding_a_turn_that_backs_off_does_not_end_the_back_off(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run(), outcome="retry", delay=50_000)
    ledger.offer("2", mode="supersede", wait=0)
    ledger.advance(50_000 - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.run_all() == [["1", "2"]]


# --- sleeping ---
def test_a_pump_sleeps_until_its_timeout(ledger: Ledger) -> None:
    before = time.monotonic()
    ledger.store.sleep(50)
    assert time.monotonic() - before >= 0.045


def test_a_pump_is_woken_by_a_window_that_is_due_before_all_others(ledger: Ledger) -> None:
    ledger.offer("1")
    before = time.monotonic()
    ledger.store.sleep(3_000)
    ledger.offer("1", key="turn/b", wait=1_000)
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 3


def test_a_pump_is_not_woken_for_what_is_due_later_than_what_it_knows(ledger: Ledger) -> None:
    ledger.offer("1", wait=1_000)
    ledger.store.sleep(1_000)
    ledger.offer("1", key="turn/b")
    before = time.monotonic()
    ledger.store.sleep(200)
    assert time.monotonic() - before >= 0.19


@pytest.mark.parametrize("hastens", [{"wait": 100}, {"max_wait": 5_000}, {"max_items": 2}, {"wait": 0}])
def test_a_pump_is_woken_for_what_hastens_a_window(ledger: Ledger, hastens: dict[str, int]) -> None:
    ledger.offer("1", wait=5_000)
    ledger.store.sleep(1_000)
    ledger.offer("2", **{"wait": 5_000, **hastens})
    before = time.monotonic()
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 3


def test_a_pump_is_woken_for_what_fills_a_window(ledger: Ledger) -> None:
    ledger.offer("1", wait=5_000, max_items=2)
    ledger.store.sleep(1_000)
    assert ledger.offer("2", wait=5_000, max_items=2) == ["full"]
    before = time.monotonic()
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 3


def test_a_pump_is_woken_for_a_run_that_is_superseded(ledger: Ledger) -> None:
    ledger.offer("1", wait=1_000)
    ledger.advance(1_000)
    ledger.run("w1")
    ledger.store.sleep(1_000)
    ledger.offer("2", mode="supersede", wait=1_000)
    before = time.monotonic()
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 3


def test_a_suspicion_wakes_a_pump(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.store.sleep(1_000)
    ledger.begin(check, "w2", grace=GRACE)
    before = time.monotonic()
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 3


def test_who_goes_away_wakes_one_that_sleeps(ledger: Ledger) -> None:
    ledger.store.wake()
    ledger.store.wake()
    before = time.monotonic()
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 3
    before = time.monotonic()
    ledger.store.sleep(200)
    assert time.monotonic() - before >= 0.19

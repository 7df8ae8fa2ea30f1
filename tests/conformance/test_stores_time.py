"""Every store keeps the protocol's durations: nothing is early, and nothing is late by more than a look."""

from __future__ import annotations

import time

import pytest

from chatbot.stores.base import DAY, OPEN, ClaimCheck
from tests.conformance.ledgers import AGAIN, GRACE, LEASE, PUBLISH_LEASE, Ledger, bodies, window
from tests.waiting import wait_until

URGENT = {"wait": 0, "max_wait": 0}
HOUR = 3_600_000
#: Real time may pass too: what is "not yet" leaves this much.
SLACK = 1_500


def handed_over(ledger: Ledger, item: str = "1", key: str = "turn/a") -> ClaimCheck:
    """Bring a turn to where only its message's delivery can move it."""
    ledger.offer(item, key=key, **URGENT)
    check = ledger.take(key)
    assert ledger.hand_over(check)
    return check


# --- the window ---
def test_a_window_waits_after_its_last_item(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.advance(15_000)
    ledger.offer("2")
    ledger.advance(20_000 - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.run_all() == [["1", "2"]]


def test_a_window_waits_no_longer_than_max_wait_after_its_first_item(ledger: Ledger) -> None:
    ledger.offer("0")
    for n in range(1, 7):
        ledger.advance(15_000)
        assert not ledger.published()
        ledger.offer(str(n))
    ledger.advance(10_000 - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.run_all() == [["0", "1", "2", "3", "4", "5", "6"]]


def test_the_next_look_is_when_the_window_is_due(ledger: Ledger) -> None:
    ledger.offer("1")
    next_look = ledger.look().next_look
    assert next_look is not None
    assert 20_000 - SLACK < next_look <= 20_000


def test_a_duplicate_does_not_prolong_the_wait(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.advance(15_000)
    ledger.offer("1")
    ledger.advance(5_000)
    assert ledger.published()


def test_an_edit_does_not_prolong_the_wait(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.advance(15_000)
    ledger.edit("amend", "e", "1", "edited")
    ledger.advance(5_000)
    assert ledger.published()


def test_arrivals_during_a_run_wait_from_their_own_arrival(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.renew()
    ledger.offer("2")
    ledger.advance(LEASE - SLACK)
    ledger.finish(check)
    ledger.advance(20_000 - LEASE)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.run_all() == [["2"]]


def test_a_window_whose_time_passed_during_the_run_is_due_when_the_run_ends(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.offer("2")
    ledger.advance(30_000)
    ledger.finish(check)
    assert ledger.run_all() == [["2"]]


def test_what_max_items_leaves_behind_waits_for_its_own_time(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", "4", "5", max_items=3)
    assert ledger.run_all() == [["1", "2", "3"]]
    ledger.advance(20_000)
    assert ledger.run_all() == [["4", "5"]]


def test_withdrawing_the_first_item_moves_max_wait_to_the_next(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.advance(50_000)
    ledger.offer("2", wait=90_000)
    ledger.edit("withdraw", "w", "1")
    ledger.advance(60_000)
    assert not ledger.published()
    ledger.advance(30_000)
    assert ledger.published()


# --- publications ---
def test_what_the_broker_never_confirmed_is_published_after_the_publish_lease(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.take()
    ledger.advance(PUBLISH_LEASE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    again = ledger.take()
    assert again.epoch == check.epoch
    assert again.stamp > check.stamp


def test_an_outdated_publication_is_not_handed_over(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.take()
    ledger.advance(PUBLISH_LEASE)
    newer = ledger.take()
    assert not ledger.hand_over(check)
    assert ledger.hand_over(newer)


def test_unconfirmed_publications_do_not_delay_the_first_suspicion(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    for _ in range(5):
        ledger.take()
        ledger.advance(PUBLISH_LEASE)
    ledger.hand_over(ledger.take())
    ledger.advance(AGAIN - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.published()


def test_each_suspicion_is_twice_as_late_up_to_an_hour(ledger: Ledger) -> None:
    handed_over(ledger)
    for delay in [30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, HOUR, HOUR]:
        ledger.advance(delay - SLACK)
        assert not ledger.published(), delay
        ledger.advance(SLACK)
        assert ledger.hand_over(ledger.take()), delay


def test_a_publication_that_a_later_one_overtook_is_lost(ledger: Ledger) -> None:
    handed_over(ledger)
    ledger.advance(AGAIN // 2 + 1_000)
    ledger.begin(handed_over(ledger, key="turn/b"), "w9")
    ledger.advance(AGAIN // 2 - 1_000)
    assert ledger.published()


def test_a_queue_that_moves_makes_no_copies(ledger: Ledger) -> None:
    handed_over(ledger)
    earlier = handed_over(ledger, key="turn/b")
    ledger.advance(AGAIN - 5_000)
    ledger.begin(earlier, "w9")
    ledger.advance(5_000)
    assert not ledger.published()


def test_a_publication_that_waits_in_a_backlog_is_looked_at_again_when_its_age_has_doubled(ledger: Ledger) -> None:
    handed_over(ledger)
    earlier = handed_over(ledger, key="turn/b")
    ledger.advance(2 * AGAIN)
    ledger.begin(earlier, "w9")
    ledger.look()
    left = ledger.store.inspect("turn/a").due_in
    assert left is not None
    assert 2 * AGAIN - SLACK < left <= 2 * AGAIN + SLACK


def test_a_publication_that_waits_in_a_backlog_is_looked_at_every_ten_minutes(ledger: Ledger) -> None:
    handed_over(ledger)
    earlier = handed_over(ledger, key="turn/b")
    ledger.advance(2 * HOUR)
    ledger.begin(earlier, "w9")
    ledger.look()
    left = ledger.store.inspect("turn/a").due_in
    assert left is not None
    assert 600_000 - SLACK < left <= 600_000


def test_a_publication_is_lost_when_the_queue_stands_still(ledger: Ledger) -> None:
    handed_over(ledger)
    ledger.begin(handed_over(ledger, key="turn/b"), "w9")
    ledger.advance(AGAIN)
    assert ledger.published()


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


# --- what is remembered, and for how long ---
def test_an_id_is_remembered_for_its_ttl_after_settlement(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.take()
    ledger.advance(3 * DAY)
    ledger.begin(check)
    ledger.finish(check)
    ledger.advance(DAY - SLACK)
    assert ledger.answers("1")[0].epoch == check.epoch
    ledger.advance(SLACK)
    assert ledger.offer("1") == ["opened"]


def test_an_open_items_id_outlives_its_ttl(ledger: Ledger) -> None:
    ledger.offer("1", id_ttl=60_000)
    ledger.advance(OPEN - DAY)
    assert ledger.answers("1")[0].epoch == 0


def test_the_longest_id_ttl_that_was_promised_while_the_key_was_not_idle_holds(ledger: Ledger) -> None:
    ledger.offer("1", wait=0, id_ttl=7 * DAY)
    ledger.offer("2", wait=0, id_ttl=DAY)
    ledger.finish(ledger.run())
    ledger.advance(7 * DAY - SLACK)
    assert ledger.offer("1", "2") == ["duplicate", "duplicate"]
    ledger.advance(SLACK)
    assert ledger.offer("1", "2") == ["opened", "joined"]


def test_an_idle_key_forgets_the_longest_id_ttl(ledger: Ledger) -> None:
    ledger.offer("1", wait=0, id_ttl=7 * DAY)
    ledger.finish(ledger.run())
    ledger.offer("2", wait=0, id_ttl=DAY)
    ledger.finish(ledger.run())
    ledger.advance(DAY)
    assert ledger.offer("1", "2") == ["duplicate", "opened"]


def test_a_withdrawn_items_id_is_remembered_for_its_ttl_after_the_withdrawal(ledger: Ledger) -> None:
    ledger.offer("1", "2")
    ledger.edit("withdraw", "w", "1")
    ledger.advance(DAY - SLACK)
    assert ledger.answers("1")[0].epoch == -1
    ledger.advance(SLACK)
    assert ledger.offer("1") != ["duplicate"]


def test_an_edits_id_is_remembered_for_thirty_days(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.edit("amend", "e", "1", "edited")
    ledger.run_all()
    ledger.advance(OPEN - DAY)
    assert ledger.answers("e")[0].epoch == -1
    ledger.advance(DAY)
    assert ledger.offer("e") == ["opened"]


def test_a_result_ends_before_its_ids_do(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.finish(check, value=b"v", result_ttl=HOUR)
    ledger.advance(HOUR - SLACK)
    assert ledger.begin(check, "w2").verdict == "done"
    ledger.advance(SLACK)
    assert ledger.begin(check, "w2").verdict == "stale"
    assert ledger.finish(check, "w1") == "refused"
    assert ledger.offer("1") == ["duplicate"]


def test_a_dead_letter_is_kept_for_thirty_days(ledger: Ledger) -> None:
    ledger.offer("1", key="turn/a", **URGENT)
    ledger.offer("1", key="turn/b", **URGENT)
    first, second = sorted(ledger.look().checks, key=lambda check: check.key)
    for check in (first, second):
        ledger.begin(check)
        ledger.finish(check, outcome="dead")
    ledger.advance(OPEN - DAY)
    assert ledger.store.replay("turn/a", first.epoch, window()) == 1
    ledger.advance(DAY)
    assert ledger.store.replay("turn/b", second.epoch, window()) == 0


def test_open_work_lives_thirty_days_after_its_last_touch(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.advance(OPEN - DAY)
    check = ledger.take()
    ledger.advance(OPEN - DAY)
    ledger.begin(check)
    ledger.advance(OPEN - DAY)
    assert ledger.published()
    ledger.advance(OPEN)
    assert ledger.store.inspect("turn/a").state == "idle"
    assert not ledger.published()


@pytest.mark.parametrize("touch", ["offer", "retry", "unlock", "busy"])
def test_every_touch_lets_open_work_live_on(ledger: Ledger, touch: str) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(OPEN - DAY)
    ledger.renew("w1")
    if touch == "offer":
        ledger.offer("2")
    elif touch == "retry":
        ledger.finish(check, "w1", "retry")
    elif touch == "unlock":
        ledger.store.unlock("turn/a", check.epoch, "w1")
    else:
        assert ledger.begin(check, "w2", grace=GRACE).verdict == "busy"
    ledger.advance(OPEN - DAY)
    assert ledger.published()


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
    assert time.monotonic() - before < 2


def test_a_pump_is_not_woken_for_what_is_due_later_than_what_it_knows(ledger: Ledger) -> None:
    ledger.offer("1", wait=1_000)
    ledger.store.sleep(1_000)
    ledger.offer("1", key="turn/b")
    before = time.monotonic()
    ledger.store.sleep(200)
    assert time.monotonic() - before >= 0.19


def test_a_suspicion_wakes_a_pump(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.store.sleep(1_000)
    ledger.begin(check, "w2", grace=GRACE)
    before = time.monotonic()
    ledger.store.sleep(3_000)
    assert time.monotonic() - before < 2


# --- in real time, so that the passing of time above is not the only witness ---
def test_a_window_runs_after_its_wait_in_real_time(ledger: Ledger) -> None:
    ledger.offer("1", wait=300, max_wait=300)
    assert not ledger.published()
    before = ledger.now()

    def due() -> bool:
        if ledger.store.__class__.__name__ == "MemoryStore":
            ledger.advance(10)
        return ledger.published()

    wait_until(due, 5, "the window is never due")
    assert ledger.now() - before >= 250
    assert bodies(ledger.begin(ClaimCheck("turn/a", ledger.store.inspect("turn/a").epoch, 0))) == ["1"]

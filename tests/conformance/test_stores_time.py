"""Every store takes a window in time, and repeats a publication in time: nothing early, no copy too many."""

from __future__ import annotations

from chatbot.stores.values import ClaimCheck
from tests.conformance.ledgers import AGAIN, LEASE, PUBLISH_LEASE, Ledger, MemoryLedger, bodies
from tests.waiting import wait_until

URGENT = {"wait": 0, "max_wait": 0}
HOUR = 3_600_000
#: Real time may pass too: what is "not yet" leaves this much.
SLACK = 2_400


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


# --- in real time, so that the passing of time above is not the only witness ---
def test_a_window_runs_after_its_wait_in_real_time(ledger: Ledger) -> None:
    before = ledger.now()
    ledger.offer("1", wait=2_500, max_wait=2_500)
    assert not ledger.published()

    def due() -> bool:
        if isinstance(ledger, MemoryLedger):
            ledger.advance(100)
        return ledger.published()

    wait_until(due, 10, "the window is never due")
    assert ledger.now() - before >= 2_500
    assert bodies(ledger.begin(ClaimCheck("turn/a", ledger.store.inspect("turn/a").epoch, 0))) == ["1"]

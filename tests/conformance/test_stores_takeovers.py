"""Every store treats a dead owner's turn like any other that is on its way: a copy that the broker confirmed is not
repeated every few seconds, and an owner that was only asleep is looked at again when its lease ends."""

from __future__ import annotations

from typing import Any

from chatbot.stores.values import ClaimCheck
from tests.conformance.ledgers import AGAIN, LEASE, PUBLISH_LEASE, Ledger

URGENT: dict[str, Any] = {"wait": 0, "max_wait": 0}
#: Real time may pass too: what is "not yet" leaves this much.
SLACK = 2_400


def orphan(ledger: Ledger) -> ClaimCheck:
    """Begin a turn as w1, who is not heard of again; return the publication that its lapse brings."""
    ledger.offer("1", **URGENT)
    first = ledger.take()
    assert ledger.hand_over(first)
    assert ledger.begin(first, "w1").verdict == "new"
    ledger.advance(LEASE)
    return ledger.take()


def test_a_dead_owners_turn_is_handed_over(ledger: Ledger) -> None:
    assert ledger.hand_over(orphan(ledger))


def test_a_dead_owners_turn_is_not_published_again_while_its_copy_is_on_its_way(ledger: Ledger) -> None:
    ledger.hand_over(orphan(ledger))
    ledger.advance(PUBLISH_LEASE)
    assert not ledger.published()
    ledger.advance(AGAIN - PUBLISH_LEASE - SLACK)
    assert not ledger.published()


def test_a_dead_owners_turn_whose_copy_got_lost_is_published_again_twice_as_late_each_time(ledger: Ledger) -> None:
    ledger.hand_over(orphan(ledger))
    for delay in [AGAIN, 2 * AGAIN, 4 * AGAIN]:
        ledger.advance(delay - SLACK)
        assert not ledger.published(), delay
        ledger.advance(SLACK)
        assert ledger.hand_over(ledger.take()), delay


def test_a_dead_owners_turn_that_was_never_confirmed_is_published_after_the_publish_lease(ledger: Ledger) -> None:
    orphan(ledger)
    ledger.advance(PUBLISH_LEASE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.published()


def test_a_moving_queue_makes_no_copies_of_a_dead_owners_turn(ledger: Ledger) -> None:
    ledger.hand_over(orphan(ledger))
    earlier = ClaimCheck("turn/b", 1, ledger.now() - 60_000)
    ledger.advance(AGAIN)
    ledger.begin(earlier, "w9")
    assert not ledger.published()


def test_the_first_copy_of_a_running_turn_does_not_put_off_the_end_of_its_lease(ledger: Ledger) -> None:
    """The queue moves, and what it moves is older than the turn: yet nobody needs to deliver what has begun."""
    ledger.offer("1", **URGENT)
    first = ledger.take()
    ledger.hand_over(first)
    ledger.begin(first, "w1")
    ledger.advance(LEASE)
    ledger.begin(ClaimCheck("turn/b", 1, first.stamp - 60_000), "w9")
    assert ledger.published()


def test_each_run_begins_the_suspicions_anew(ledger: Ledger) -> None:
    ledger.hand_over(orphan(ledger))
    ledger.advance(AGAIN)
    again = ledger.take()
    ledger.hand_over(again)
    assert ledger.begin(again, "w2").verdict == "taken"
    ledger.advance(LEASE)
    ledger.hand_over(ledger.take())
    ledger.advance(AGAIN)
    assert ledger.published()


def test_an_owner_that_wakes_after_the_handover_is_looked_at_when_its_lease_ends(ledger: Ledger) -> None:
    check = orphan(ledger)
    ledger.hand_over(check)
    assert ledger.renew("w1")
    assert ledger.begin(check, "w2").verdict == "busy"
    ledger.advance(LEASE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.published()


def test_an_owner_that_wakes_before_the_handover_voids_it(ledger: Ledger) -> None:
    check = orphan(ledger)
    assert ledger.renew("w1")
    assert not ledger.hand_over(check)
    ledger.advance(LEASE)
    assert ledger.published()


def test_an_owner_that_begins_again_before_the_handover_voids_it(ledger: Ledger) -> None:
    check = orphan(ledger)
    assert ledger.begin(check, "w1").verdict == "mine"
    assert not ledger.hand_over(check)
    ledger.advance(LEASE)
    assert ledger.published()


def test_a_dead_owners_turn_is_taken_over_after_the_handover_and_counts_as_a_lost_run(ledger: Ledger) -> None:
    check = orphan(ledger)
    ledger.hand_over(check)
    taken = ledger.begin(check, "w2")
    assert (taken.verdict, taken.lost) == ("taken", 1)
    assert ledger.finish(check, "w1") == "refused"
    assert ledger.finish(check, "w2") == "settled"

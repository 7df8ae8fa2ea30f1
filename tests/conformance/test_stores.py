"""Every store accepts each item once, and gives each turn to one owner at a time."""

from __future__ import annotations

import pytest

from chatbot.stores.values import ClaimCheck, FollowUp, Lease, digest
from tests.conformance.ledgers import LEASE, Ledger, bodies, window

URGENT = {"wait": 0, "max_wait": 0}


def reply(item_id: str, key: str = "out/a", body: bytes | None = None) -> FollowUp:
    to = window(wait=0, max_wait=0, max_items=1)
    return FollowUp(key=key, item_id=item_id, body=item_id.encode() if body is None else body, window=to)


# --- accepting ---
def test_the_first_item_opens_a_window_and_the_next_join_it(ledger: Ledger) -> None:
    assert ledger.offer("1", "2", "3") == ["opened", "joined", "joined"]


def test_keys_have_windows_of_their_own(ledger: Ledger) -> None:
    assert ledger.offer("1") == ledger.offer("1", key="turn/b") == ledger.offer("1", key="other/a") == ["opened"]


def test_a_known_id_is_a_duplicate_also_within_a_batch(ledger: Ledger) -> None:
    assert ledger.offer("1", "1", "2") == ["opened", "duplicate", "joined"]
    assert [a.epoch for a in ledger.answers("2")] == [0]
    ledger.advance(20_000)
    assert bodies(ledger.begin(ledger.take())) == ["1", "2"]


def test_a_duplicate_learns_the_epoch_that_settled_its_original(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    assert ledger.answers("1")[0].epoch == 0
    ledger.finish(check)
    assert ledger.answers("1")[0].epoch == check.epoch


def test_a_window_is_full_at_max_items_and_then_due_at_once(ledger: Ledger) -> None:
    assert ledger.offer("1", "2", "3", max_items=3) == ["opened", "joined", "full"]
    assert ledger.run_all() == [["1", "2", "3"]]


def test_a_window_is_full_at_max_bytes_and_then_due_at_once(ledger: Ledger) -> None:
    assert ledger.offer("aaaa", "bbbb", max_bytes=8) == ["opened", "full"]
    assert ledger.published()


def test_the_latest_policy_of_a_key_wins(ledger: Ledger) -> None:
    ledger.offer("1", "2", max_items=50)
    assert ledger.offer("3", max_items=3) == ["full"]


def test_a_call_that_does_not_wait_makes_its_window_due_at_once(ledger: Ledger) -> None:
    ledger.offer("1")
    assert ledger.offer("2", **URGENT) == ["full"]
    assert ledger.run_all() == [["1", "2"]]


def test_items_keep_their_order_arrival_and_bytes(ledger: Ledger) -> None:
    raw = bytes(range(256))
    before = ledger.now()
    ledger.offer("1", "2", **URGENT)
    after = ledger.now()
    ledger.finish(ledger.run(), follow_ups=[reply("r", body=raw)])
    first = ledger.begin(ledger.take("out/a")).entries[0]
    assert first.body == raw
    assert first.digest == digest("out/a", "r")
    assert before <= first.arrived
    assert after <= first.arrived + 60_000


# --- taking ---
def test_nothing_is_taken_twice_within_the_publish_lease(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    assert ledger.published()
    assert not ledger.published()


def test_take_due_takes_at_most_its_limit_and_says_that_more_is_due(ledger: Ledger) -> None:
    for n in range(5):
        ledger.offer("1", key=f"turn/{n}", **URGENT)
    due = ledger.look(limit=3)
    assert len(due.checks) == 3
    assert due.next_look == 0
    assert len(ledger.look(limit=3).checks) == 2


def test_nothing_scheduled_means_no_next_look(ledger: Ledger) -> None:
    assert ledger.look().next_look is None
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run())
    assert ledger.look().next_look is None


def test_each_turn_of_a_key_has_a_higher_epoch(ledger: Ledger) -> None:
    epochs = []
    for n in range(3):
        ledger.offer(str(n), **URGENT)
        check = ledger.run()
        epochs.append(check.epoch)
        ledger.finish(check)
    assert epochs == sorted(set(epochs))


def test_a_publication_is_handed_over_once_and_only_by_its_own_check(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.take()
    other_epoch = ClaimCheck(check.key, check.epoch - 1, check.stamp)
    other_stamp = ClaimCheck(check.key, check.epoch, check.stamp - 1)
    assert ledger.store.handed_over([other_epoch, other_stamp, check, check], 30_000) == [False, False, True, False]


def test_a_turn_that_runs_is_not_handed_over_any_more(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    assert ledger.hand_over(ledger.run()) is False


# --- beginning ---
def test_a_turn_is_new_once_then_mine_for_its_owner_and_busy_for_others(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    assert ledger.begin(check, "w1").verdict == "mine"
    busy = ledger.begin(check, "w2")
    assert busy.verdict == "busy"
    assert LEASE - 2_400 < busy.remaining <= LEASE


def test_a_second_call_by_the_owner_gets_the_items_again(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    assert bodies(ledger.begin(ledger.run("w1"), "w1")) == ["1", "2"]


def test_a_check_of_another_epoch_is_stale(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.take()
    assert ledger.begin(ClaimCheck(check.key, check.epoch - 1, check.stamp)).verdict == "stale"
    assert ledger.begin(ClaimCheck("turn/unknown", 1, 1)).verdict == "stale"


def test_a_lapsed_lease_is_taken_and_counted_as_a_lost_run(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE)
    taken = ledger.begin(check, "w2")
    assert (taken.verdict, taken.lost, bodies(taken)) == ("taken", 1, ["1"])


def test_an_owner_that_overslept_resumes_if_nobody_came(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE + 1_000)
    assert ledger.begin(check, "w1").verdict == "mine"
    assert ledger.begin(check, "w2").verdict == "busy"


@pytest.mark.parametrize("owner", ["a|b", "a\nb"])
def test_an_owner_must_not_hold_what_parts_a_records_fields(ledger: Ledger, owner: str) -> None:
    with pytest.raises(ValueError, match="bar nor a line end"):
        ledger.begin(ClaimCheck("turn/a", 1, 1), owner)


def test_an_owner_is_text_that_can_be_written(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="surrogates"):
        ledger.begin(ClaimCheck("turn/a", 1, 1), "a\ud800")


# --- renewing ---
def test_only_the_owner_renews(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.run("w1")
    leases = [Lease("turn", "turn/a", "w1"), Lease("turn", "turn/a", "w2"), Lease("turn", "turn/none", "w1")]
    assert ledger.store.renew(leases, LEASE) == [True, False, False]


def test_a_lapsed_lease_that_nobody_took_is_renewed(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE + 1_000)
    assert ledger.renew("w1")
    assert ledger.begin(check, "w2").verdict == "busy"


def test_a_lease_that_was_taken_over_is_lost(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE)
    ledger.begin(check, "w2")
    assert not ledger.renew("w1")
    assert ledger.finish(check, "w1") == "refused"
    assert ledger.finish(check, "w2") == "settled"

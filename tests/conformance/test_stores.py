"""Every store keeps the ledger's protocol: what a turn goes through, and what each verb answers."""

from __future__ import annotations

import pytest

from chatbot.stores.base import ClaimCheck, FollowUp, Lease, digest
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
    assert LEASE - 1_000 < busy.remaining <= LEASE


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


# --- finishing ---
def test_a_turn_settles_once_and_its_owner_may_ask_again(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    assert ledger.finish(check, "w0") == "refused"
    assert ledger.finish(check, "w1") == "settled"
    assert ledger.finish(check, "w1") == "settled"
    assert ledger.finish(check, "w9") == "refused"


@pytest.mark.parametrize(("outcome", "verdict"), [("ok", "done"), ("dead", "buried")])
def test_a_late_copy_learns_the_value_or_the_reason(ledger: Ledger, outcome: str, verdict: str) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.finish(check, outcome=outcome, value=b"a|b\nc\x00\xff")
    late = ledger.begin(check, "w2")
    assert (late.verdict, late.value) == (verdict, b"a|b\nc\x00\xff")


def test_arrivals_during_a_run_wait_and_open_the_next_window(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    assert ledger.offer("2", "3", **URGENT) == ["opened", "full"]
    assert not ledger.published()
    ledger.finish(check)
    assert ledger.run_all() == [["2", "3"]]


def test_an_empty_key_is_released_in_the_step_that_settles_it(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run())
    assert ledger.store.inspect("turn/a").state == "idle"
    assert ledger.offer("2") == ["opened"]


def test_a_turn_leaves_its_follow_ups_in_order_one_per_turn(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run(), follow_ups=[reply("r0"), reply("r1"), reply("r2")])
    assert ledger.run_all(key="out/a") == [["r0"], ["r1"], ["r2"]]


def test_a_repeated_finish_leaves_no_second_follow_up(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.finish(check, follow_ups=[reply("r0")])
    ledger.finish(check, follow_ups=[reply("r1")])
    assert ledger.run_all(key="out/a") == [["r0"]]


def test_what_a_refused_run_says_is_void(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.finish(check, "zombie", follow_ups=[reply("r0")], value=b"void")
    assert not ledger.published("out/a")
    ledger.finish(check, "w1", value=b"right")
    assert ledger.begin(check, "w2").value == b"right"


def test_a_follow_up_to_the_own_mailbox_keeps_its_own_wait(ledger: Ledger) -> None:
    ledger.offer("1", "2", wait=20_000, max_items=2)
    ledger.finish(ledger.run(), follow_ups=[reply("again", key="turn/a")])
    assert ledger.run_all() == [["again"]]


def test_a_follow_up_whose_id_is_known_is_not_accepted_twice(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.offer("r0", key="out/a", **URGENT)
    ledger.finish(check, follow_ups=[reply("r0")])
    assert ledger.run_all(key="out/a") == [["r0"]]


def test_a_follow_up_for_another_subject_is_an_error_before_anything_is_written(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    with pytest.raises(ValueError, match="subject"):
        ledger.finish(check, follow_ups=[reply("r0", key="out/b")])
    assert ledger.finish(check) == "settled"


def test_a_result_must_live_for_some_time(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    with pytest.raises(ValueError, match="result_ttl"):
        ledger.finish(check, outcome="dead", result_ttl=0)
    assert ledger.answers("1")[0].epoch == 0


# --- failing ---
def test_a_failed_turn_keeps_its_epoch_and_members_and_counts(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    check = ledger.run("w1")
    ledger.offer("3")
    assert ledger.finish(check, "w1", "retry") == "kept"
    again = ledger.take()
    begun = ledger.begin(again, "w2")
    assert again.epoch == check.epoch
    assert (begun.verdict, begun.fails, begun.lost, bodies(begun)) == ("new", 1, 0, ["1", "2"])


def test_a_kept_turn_is_no_longer_its_owners(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.finish(check, "w1", "retry", delay=60_000)
    assert not ledger.renew("w1")
    assert ledger.finish(check, "w1") == "refused"


def test_a_turn_that_backs_off_is_busy(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.finish(check, "w1", "retry", delay=60_000)
    busy = ledger.begin(check, "w2")
    assert busy.verdict == "busy"
    assert 50_000 < busy.remaining <= 60_000


def test_a_split_turn_runs_as_two_in_order_never_merged_with_arrivals(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", "4", "5", **URGENT)
    check = ledger.run()
    ledger.offer("6", **URGENT)
    assert ledger.finish(check, outcome="split") == "kept"
    assert ledger.begin(check, "w2").verdict == "stale"
    assert ledger.run_all() == [["1", "2"], ["3", "4", "5"], ["6"]]


def test_the_parts_of_a_split_turn_have_new_epochs_and_fresh_attempts(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    check = ledger.run()
    ledger.finish(check, outcome="retry")
    ledger.begin(ledger.take(), "w2")
    ledger.finish(check, "w2", "split")
    part = ledger.take()
    assert part.epoch > check.epoch
    assert ledger.begin(part).fails == 0


def test_a_part_can_be_split_again(ledger: Ledger) -> None:
    ledger.offer("1", "2", "3", "4", "5", **URGENT)
    ledger.finish(ledger.run(), outcome="split")
    ledger.finish(ledger.run(), outcome="split")
    assert ledger.run_all() == [["1"], ["2"], ["3", "4", "5"]]


def test_parts_keep_apart_also_when_max_bytes_shrank_meanwhile(ledger: Ledger) -> None:
    ledger.offer("aaaaaa", "bbbbbb", "c", "d", **URGENT)
    check = ledger.run()
    ledger.offer("e", **URGENT, max_bytes=8)
    ledger.finish(check, outcome="split")
    assert ledger.run_all() == [["aaaaaa"], ["bbbbbb"], ["c", "d"], ["e"]]


def test_a_turn_of_one_cannot_be_split(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    with pytest.raises(ValueError, match="split"):
        ledger.finish(check, "w1", "split")
    assert ledger.begin(check, "w1").verdict == "mine"
    assert ledger.finish(check, "w1", "dead") == "settled"


# --- superseding ---
def test_a_superseding_call_ends_the_run_and_joins_its_items(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.offer("2", mode="supersede")
    assert not ledger.renew("w1")
    assert ledger.finish(check, "w1", follow_ups=[reply("r0")]) == "refused"
    ledger.advance(20_000)
    assert ledger.run_all() == [["1", "2"]]


def test_superseding_ends_max_wait_after_the_first_item(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.advance(100_000)
    assert ledger.offer("2", mode="supersede") == ["opened"]
    assert ledger.finish(check, "w1") == "settled"


def test_parts_of_a_split_turn_are_not_superseded(ledger: Ledger) -> None:
    ledger.offer("1", "2", wait=0)
    ledger.finish(ledger.run(), outcome="split")
    check = ledger.run("w1")
    ledger.offer("3", mode="supersede", wait=0)
    assert ledger.finish(check, "w1") == "settled"
    assert ledger.run_all() == [["2"], ["3"]]


# --- what an operator does ---
def test_unlock_needs_what_the_operator_saw(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    assert not ledger.store.unlock("turn/a", check.epoch, "w2")
    assert not ledger.store.unlock("turn/a", check.epoch - 1, "w1")
    assert not ledger.store.unlock("turn/none", check.epoch, "w1")
    assert ledger.renew("w1")


def test_an_unlocked_turn_is_published_at_once_and_its_run_counts_as_lost(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    assert ledger.store.unlock("turn/a", check.epoch, "w1")
    assert ledger.published()
    begun = ledger.begin(check, "w2")
    assert (begun.verdict, begun.fails, begun.lost) == ("new", 0, 1)
    assert ledger.finish(check, "w1") == "refused"


def test_unlocking_a_turn_that_backs_off_ends_the_back_off_and_counts_nothing(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.finish(check, "w1", "retry", delay=60_000)
    assert ledger.store.unlock("turn/a", check.epoch, "")
    assert ledger.published()
    assert ledger.begin(check, "w2").lost == 0


def test_a_buried_turn_is_replayed_once_behind_what_waits(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    check = ledger.run()
    ledger.offer("3")
    ledger.finish(check, outcome="dead", value=b"why")
    assert ledger.offer("1") == ["duplicate"]
    assert ledger.store.replay("turn/a", check.epoch, window(**URGENT)) == 2
    assert ledger.store.replay("turn/a", check.epoch, window(**URGENT)) == 0
    assert ledger.answers("1")[0].epoch == 0
    assert ledger.run_all() == [["3", "1", "2"]]


def test_an_item_that_came_again_meanwhile_is_not_replayed(ledger: Ledger) -> None:
    ledger.offer("1", "2", wait=0, id_ttl=60_000)
    check = ledger.run()
    ledger.finish(check, outcome="dead")
    ledger.advance(60_000)
    assert ledger.offer("1", **URGENT) == ["opened"]
    assert ledger.store.replay("turn/a", check.epoch, window(**URGENT)) == 1
    assert ledger.run_all() == [["1", "2"]]


def test_a_turn_that_was_not_buried_cannot_be_replayed(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.finish(check)
    assert ledger.store.replay("turn/a", check.epoch, window()) == 0


def test_forget_erases_window_turn_result_dead_letter_and_history(ledger: Ledger) -> None:
    checks = []
    for item, outcome in [("1", "ok"), ("2", "dead")]:
        ledger.offer(item, **URGENT)
        checks.append(ledger.run())
        ledger.finish(checks[-1], outcome=outcome, value=b"secret")
    ledger.offer("3", **URGENT)
    running = ledger.run("w1")
    ledger.offer("4")
    ledger.offer("4", key="turn/b")
    ledger.store.remember("a", "e", b"secret", 10, 60_000)

    assert ledger.store.forget("turn/a") == 3
    assert ledger.store.forget("turn/a") == 0
    assert [ledger.begin(c, "w2").verdict for c in [*checks, running]] == ["stale"] * 3
    assert not ledger.renew("w1")
    assert ledger.finish(running, "w1", follow_ups=[reply("r")]) == "refused"
    assert ledger.store.recall("a") == []
    assert ledger.store.replay("turn/a", checks[1].epoch, window()) == 0
    assert ledger.store.inspect("turn/b").state == "accumulating"


def test_after_forgetting_only_completed_items_are_remembered(ledger: Ledger) -> None:
    ledger.offer("done", **URGENT)
    ledger.finish(ledger.run())
    ledger.offer("buried", **URGENT)
    ledger.finish(ledger.run(), outcome="dead")
    ledger.offer("open")
    ledger.store.forget("turn/a")
    assert ledger.offer("done", "buried", "open") == ["duplicate", "opened", "joined"]


def test_a_zombie_of_a_forgotten_turn_does_not_settle_its_items_when_they_come_again(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.store.forget("turn/a")
    ledger.offer("1", **URGENT)
    assert ledger.finish(check, "w1") == "refused"
    assert ledger.run_all() == [["1"]]


def test_forget_counts_buried_items_whose_ids_are_forgotten(ledger: Ledger) -> None:
    ledger.offer("1", "2", wait=0, id_ttl=60_000)
    ledger.finish(ledger.run(), outcome="dead")
    ledger.advance(60_000)
    assert ledger.store.forget("turn/a") == 2


def test_an_operator_sees_each_state(ledger: Ledger) -> None:
    states = [ledger.store.inspect("turn/a").state]

    def see() -> None:
        states.append(ledger.store.inspect("turn/a").state)

    ledger.offer("1", **URGENT)
    see()
    check = ledger.take()
    see()
    ledger.hand_over(check)
    see()
    ledger.begin(check)
    see()
    ledger.finish(check, outcome="retry", delay=60_000)
    see()
    assert states == ["idle", "accumulating", "taken", "handed over", "running", "backing off"]


def test_an_operator_sees_who_runs_what_and_what_waits(ledger: Ledger) -> None:
    ledger.offer("1", "2", **URGENT)
    check = ledger.run("w1")
    ledger.advance(LEASE)
    ledger.begin(check, "w2")
    ledger.finish(check, "w2", "retry")
    ledger.begin(check, "w3")
    ledger.offer("3")
    seen = ledger.store.inspect("turn/a")
    assert (seen.epoch, seen.owner, seen.size, seen.buffered, seen.fails, seen.lost) == (check.epoch, "w3", 2, 1, 1, 1)
    assert seen.due_in is not None
    assert LEASE - 1_000 < seen.due_in <= LEASE

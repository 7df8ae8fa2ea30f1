"""Every store ends a run once: settled with its follow-ups, kept, split, or superseded."""

from __future__ import annotations

import pytest

from chatbot.stores.values import FollowUp
from tests.conformance.ledgers import Ledger, bodies, window

URGENT = {"wait": 0, "max_wait": 0}


def reply(item_id: str, key: str = "out/a", body: bytes | None = None) -> FollowUp:
    to = window(wait=0, max_wait=0, max_items=1)
    return FollowUp(key=key, item_id=item_id, body=item_id.encode() if body is None else body, window=to)


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

"""Every store lets an operator look, unlock, replay and forget."""

from __future__ import annotations

from chatbot.stores.values import FollowUp
from tests.conformance.ledgers import LEASE, Ledger, window

URGENT = {"wait": 0, "max_wait": 0}


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

    follow_up = FollowUp(key="out/a", item_id="r", body=b"reply", window=window(**URGENT))
    assert ledger.store.forget("turn/a") == 3
    assert ledger.store.forget("turn/a") == 0
    assert [ledger.begin(c, "w2").verdict for c in [*checks, running]] == ["stale"] * 3
    assert not ledger.renew("w1")
    assert ledger.finish(running, "w1", follow_ups=[follow_up]) == "refused"
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
    assert LEASE - 2_400 < seen.due_in <= LEASE

"""Every store remembers ids, results, dead letters and open work for as long as it promised, and no longer."""

from __future__ import annotations

import pytest

from chatbot.stores.values import DAY, OPEN
from tests.conformance.ledgers import GRACE, Ledger, window

URGENT = {"wait": 0, "max_wait": 0}
HOUR = 3_600_000
#: Real time may pass too: what is "not yet" leaves this much.
SLACK = 2_400


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


def test_a_longer_id_ttl_alone_is_promised_too(ledger: Ledger) -> None:
    ledger.offer("1", id_ttl=DAY)
    ledger.offer("2", id_ttl=7 * DAY)
    ledger.advance(50_000)
    assert ledger.run_all() == [["1", "2"]]
    ledger.advance(7 * DAY - SLACK)
    assert ledger.offer("2") == ["duplicate"]


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
    ledger.advance(OPEN + HOUR)  # a store may keep it for up to an hour more
    assert ledger.store.inspect("turn/a").state == "idle"
    assert not ledger.published()


@pytest.mark.parametrize("later", [HOUR - SLACK, HOUR + SLACK, DAY])
def test_what_joins_a_window_lets_it_live_on(ledger: Ledger, later: int) -> None:
    ledger.offer("1", wait=OPEN, max_wait=3 * OPEN)
    ledger.advance(later)
    ledger.offer("2", wait=OPEN, max_wait=3 * OPEN)
    ledger.advance(OPEN - SLACK)
    assert ledger.offer("3", wait=OPEN, max_wait=3 * OPEN) == ["joined"]
    ledger.advance(OPEN - SLACK)
    assert ledger.store.inspect("turn/a").buffered == 3


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

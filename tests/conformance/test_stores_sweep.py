"""Every store can be swept: counted, mended, and rid of old dead letters."""

from __future__ import annotations

from chatbot.stores.values import DAY, OPEN, Mended, Survey
from tests.conformance.ledgers import LEASE, Ledger, bodies, window

URGENT = {"wait": 0, "max_wait": 0}


def survey(ledger: Ledger) -> Survey:
    (only,) = ledger.store.survey()
    return only


def mend(ledger: Ledger, count: int = 1_000) -> Mended:
    """Mend in steps until a pass is complete; return what it came to."""
    cursor, seen, mended = "", 0, 0
    while True:
        step = ledger.store.mend(cursor, count)
        cursor, seen, mended = step.cursor, seen + step.seen, mended + step.mended
        if not cursor:
            return Mended("", seen, mended)


def bury(ledger: Ledger, item: str, key: str = "turn/a") -> int:
    ledger.offer(item, key=key, **URGENT)
    check = ledger.run(key=key)
    assert ledger.finish(check, outcome="dead") == "settled"
    return check.epoch


# --- survey ---
def test_an_empty_ledger_has_nothing_open_and_nothing_due(ledger: Ledger) -> None:
    assert survey(ledger) == Survey(open=0, running=0, dead=0, oldest_due_in=None)


def test_a_survey_counts_keys_that_are_open_turns_that_run_and_dead_letters(ledger: Ledger) -> None:
    for key in ("turn/a", "turn/b", "turn/c"):
        ledger.offer("1", key=key, **URGENT)
    ledger.offer("1", key="turn/d")
    checks = {check.key: check for check in ledger.look().checks}
    for key in ("turn/a", "turn/b", "turn/c"):
        ledger.begin(checks[key])
    ledger.finish(checks["turn/a"])
    ledger.finish(checks["turn/b"], outcome="dead")
    seen = survey(ledger)
    assert (seen.open, seen.running, seen.dead) == (2, 1, 1)


def test_a_turn_that_runs_for_long_is_counted_while_its_lease_is_renewed(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.run()
    for _ in range(4):
        ledger.advance(LEASE - 1_000)
        assert ledger.renew()
        ledger.look()
    assert survey(ledger).running == 1


def test_a_survey_tells_when_the_first_key_is_due_and_for_how_long_it_has_been(ledger: Ledger) -> None:
    ledger.offer("1", key="turn/late")
    ledger.advance(5_000)
    ledger.offer("1", key="turn/later")
    due_in = survey(ledger).oldest_due_in
    assert due_in is not None
    assert 12_000 < due_in <= 15_000
    ledger.advance(20_000)
    overdue = survey(ledger).oldest_due_in
    assert overdue is not None
    assert -8_000 < overdue <= -5_000


# --- mend ---
def test_mending_a_sound_ledger_changes_nothing(ledger: Ledger) -> None:
    ledger.offer("1", key="turn/a")
    ledger.offer("1", key="turn/b")
    before = ledger.store.inspect("turn/a").due_in
    assert mend(ledger) == Mended("", 2, 0)
    after = ledger.store.inspect("turn/a").due_in
    assert before is not None
    assert after is not None
    assert 0 <= before - after < 3_000


def test_an_overlooked_window_is_answered_when_it_is_due_and_no_earlier(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.overlook("turn/a")
    assert mend(ledger).mended == 1
    assert not ledger.published()
    ledger.advance(20_000)
    assert bodies(ledger.begin(ledger.take())) == ["1"]


def test_an_overlooked_turn_that_runs_stays_its_owners_until_the_lease_ends(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    ledger.overlook("turn/a")
    assert mend(ledger).mended == 1
    assert not ledger.published()
    assert ledger.begin(check, "w2").verdict == "busy"
    ledger.advance(LEASE + 1_000)
    assert ledger.begin(ledger.take(), "w2").verdict == "taken"


def test_a_turn_that_backs_off_is_mended_without_ending_its_back_off(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run(), outcome="retry", delay=60_000)
    ledger.overlook("turn/a")
    assert mend(ledger).mended == 1
    assert not ledger.published()
    ledger.advance(60_000)
    assert ledger.published()


def test_a_pass_in_small_steps_sees_every_key(ledger: Ledger) -> None:
    keys = [f"turn/{n:03d}" for n in range(60)]
    for key in keys:
        ledger.offer("1", key=key)
    for key in keys[::2]:
        ledger.overlook(key)
    step = ledger.store.mend("", 5)
    assert step.cursor
    assert step.seen < 60
    whole = mend(ledger, 5)
    assert (whole.seen, step.mended + whole.mended) == (60, 30)
    assert mend(ledger).mended == 0


def test_keys_that_come_and_go_during_a_pass_hide_nothing(ledger: Ledger) -> None:
    keys = [f"turn/{n:03d}" for n in range(40)]
    for key in keys:
        ledger.offer("1", key=key)
        ledger.overlook(key)
    cursor = ledger.store.mend("", 3).cursor
    for n in range(0, 40, 4):
        ledger.store.forget(keys[n])
        ledger.offer("1", key=f"turn/new{n}")
    while cursor:
        cursor = ledger.store.mend(cursor, 3).cursor
    assert [key for key in keys if ledger.store.inspect(key).state != "idle" and not due(ledger, key)] == []


def due(ledger: Ledger, key: str) -> bool:
    return ledger.store.inspect(key).due_in is not None


# --- dead letters ---
def test_old_dead_letters_are_dropped_and_younger_ones_stay(ledger: Ledger) -> None:
    old = bury(ledger, "1", "turn/old")
    ledger.advance(20 * DAY)
    young = bury(ledger, "1", "turn/young")
    assert ledger.store.prune_dead(10 * DAY, 100) == 1
    assert survey(ledger).dead == 1
    assert ledger.store.replay("turn/old", old, window(**URGENT)) == 0
    assert ledger.store.replay("turn/young", young, window(**URGENT)) == 1


def test_what_has_expired_leaves_the_index_too(ledger: Ledger) -> None:
    bury(ledger, "1", "turn/old")
    ledger.advance(OPEN - 5 * DAY)
    bury(ledger, "1", "turn/young")
    ledger.advance(10 * DAY)
    ledger.store.prune_dead(OPEN, 100)
    assert survey(ledger).dead == 1


def test_no_more_than_asked_are_dropped_the_oldest_first(ledger: Ledger) -> None:
    epochs = {}
    for n in range(3):
        epochs[n] = bury(ledger, "1", f"turn/{n}")
        ledger.advance(1_000)
    assert ledger.store.prune_dead(0, 2) == 2
    assert [ledger.store.replay(f"turn/{n}", epochs[n], window(**URGENT)) for n in range(3)] == [0, 0, 1]


def test_a_dropped_dead_letter_is_still_a_settled_turn(ledger: Ledger) -> None:
    epoch = bury(ledger, "1")
    ledger.advance(1_000)
    assert ledger.store.prune_dead(0, 10) == 1
    (answer,) = ledger.answers("1")
    assert (answer.verdict, answer.epoch) == ("duplicate", epoch)

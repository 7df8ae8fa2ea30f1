"""Every store keeps standalone records: claimed under a lease, settled once, and histories."""

from __future__ import annotations

import pytest

from chatbot.stores.values import DAY, Claim, Lease, Settling, Wanted
from tests.conformance.ledgers import Ledger

HOUR = 3_600_000
SLACK = 2_400


def claim(ledger: Ledger, owner: str = "m1", fingerprint: str = "f", lease: int = 10_000) -> Claim:
    return ledger.store.claim("s:x", owner, lease, fingerprint)


def claim_again(ledger: Ledger, owner: str = "m1/2", lease: int = 10_000) -> Claim:
    """Claim for a copy that the broker redelivered."""
    return ledger.store.claim("s:x", owner, lease, "f", redelivered=True)


def settle(
    ledger: Ledger, value: bytes = b"v", owner: str = "m1", ttl: int = DAY, value_ttl: int = HOUR
) -> bytes | None:
    return ledger.store.settle("s:x", owner, "f", value, ttl, value_ttl)


def renew(ledger: Ledger, owner: str = "m1") -> bool:
    return ledger.store.renew([Lease("claim", "s:x", owner)], 10_000)[0]


def test_a_record_is_new_once_then_mine_for_its_owner_and_busy_for_others(ledger: Ledger) -> None:
    assert claim(ledger, "m1").verdict == "new"
    assert claim(ledger, "m1").verdict == "mine"
    busy = claim(ledger, "m2")
    assert (busy.verdict, busy.owner) == ("busy", "m1")
    assert 10_000 - SLACK < busy.remaining <= 10_000


def test_what_is_wrong_with_one_of_many_harms_no_other(ledger: Ledger) -> None:
    settle(ledger)
    asked = [Wanted(key, owner, lease) for key, owner, lease in (("s:a", "m1", 10_000), ("s:b", "m|2", 10_000))]
    good, bad, known = ledger.store.claim_many([*asked, Wanted("s:x", "m3", 10_000, "f")])
    assert isinstance(good, Claim)
    assert isinstance(known, Claim)
    assert (good.verdict, known.verdict) == ("new", "done")
    assert isinstance(bad, ValueError)


def test_what_is_wrong_with_one_settlement_of_many_harms_no_other(ledger: Ledger) -> None:
    for key, owner in (("s:a", "m1"), ("s:b", "m2"), ("s:c", "m3")):
        ledger.store.claim(key, owner, 10_000, "f")
    settle(ledger, b"first")
    told = [("s:a", "m1"), ("s:b", "m|2"), ("s:b", "m\ud800"), ("s:c", "other"), ("s:x", "m1"), ("s:new", "m5")]
    answers = ledger.store.settle_many([Settling(key, owner, "f", b"v", DAY, HOUR) for key, owner in told])
    assert [type(answer) for answer in answers[1:3]] == [ValueError, UnicodeEncodeError]
    assert [answers[0], *answers[3:]] == [b"v", None, b"first", b"v"]
    found = [ledger.store.claim(key, "m9", 10_000, "f") for key in ("s:a", "s:b", "s:c", "s:new")]
    assert [one.verdict for one in found] == ["done", "busy", "busy", "done"]


def test_settlements_that_are_sent_again_say_the_same_and_none_say_nothing(ledger: Ledger) -> None:
    settled = [Settling(f"s:{n}", "m1", "f", b"%d" % n, DAY, HOUR) for n in range(3)]
    for _ in range(2):
        assert ledger.store.settle_many(settled) == [b"0", b"1", b"2"]
    assert ledger.store.settle_many([]) == []


def test_keys_have_records_of_their_own(ledger: Ledger) -> None:
    claims = [ledger.store.claim(key, "m", 10_000) for key in ("s:x", "s:y", "t:x", "s:x/y")]
    assert [one.verdict for one in claims] == ["new"] * 4


def test_another_fingerprint_is_a_mismatch_pending_or_done(ledger: Ledger) -> None:
    claim(ledger, "m1")
    assert claim(ledger, "m2", "g").verdict == "mismatch"
    settle(ledger)
    assert claim(ledger, "m2", "g").verdict == "mismatch"


def test_a_pending_record_ends_with_its_lease(ledger: Ledger) -> None:
    claim(ledger, "m1")
    ledger.advance(10_000 - SLACK)
    assert claim(ledger, "m2").verdict == "busy"
    ledger.advance(SLACK)
    assert claim(ledger, "m2").verdict == "new"


def test_claiming_again_renews_the_lease(ledger: Ledger) -> None:
    claim(ledger, "m1")
    ledger.advance(8_000)
    claim(ledger, "m1")
    ledger.advance(8_000)
    assert claim(ledger, "m2").verdict == "busy"


def test_only_the_owner_renews_and_only_while_it_is_pending(ledger: Ledger) -> None:
    assert not renew(ledger)
    claim(ledger, "m1")
    ledger.advance(8_000)
    assert not renew(ledger, "m2")
    assert renew(ledger, "m1")
    ledger.advance(8_000)
    assert claim(ledger, "m2").verdict == "busy"
    settle(ledger)
    assert not renew(ledger, "m1")


def test_turns_and_records_are_renewed_in_one_call(ledger: Ledger) -> None:
    ledger.offer("1", wait=0)
    ledger.run("w1")
    claim(ledger, "m1")
    leases = [Lease("claim", "s:x", "m1"), Lease("turn", "turn/a", "w1"), Lease("claim", "turn/a", "w1")]
    assert ledger.store.renew(leases, 10_000) == [True, True, False]


def test_a_settled_record_is_done_for_others_and_stays_the_owners(ledger: Ledger) -> None:
    claim(ledger, "m1")
    assert settle(ledger, b"a|b\nc\x00\xff") == b"a|b\nc\x00\xff"
    done = claim(ledger, "m2")
    assert (done.verdict, done.value, done.owner) == ("done", b"a|b\nc\x00\xff", "m1")
    assert claim(ledger, "m1").verdict == "mine"


def test_the_first_value_stays(ledger: Ledger) -> None:
    claim(ledger)
    settle(ledger, b"first")
    assert settle(ledger, b"second") == b"first"
    assert claim(ledger, "m2").value == b"first"


def test_nobody_else_settles(ledger: Ledger) -> None:
    claim(ledger, "m1")
    assert settle(ledger, owner="m2") is None
    settle(ledger, b"right", owner="m1")
    assert settle(ledger, b"wrong", owner="m2") is None
    assert claim(ledger, "m2").value == b"right"


def test_a_lapsed_owner_still_settles_if_nobody_came(ledger: Ledger) -> None:
    claim(ledger)
    ledger.advance(20_000)
    assert settle(ledger, b"late") == b"late"
    assert claim(ledger, "m2").value == b"late"


def test_a_lapsed_owner_does_not_settle_over_its_successor(ledger: Ledger) -> None:
    claim(ledger, "m1")
    ledger.advance(20_000)
    claim(ledger, "m2")
    assert settle(ledger, owner="m1") is None


def test_a_records_value_ends_before_the_record(ledger: Ledger) -> None:
    claim(ledger)
    settle(ledger, b"v", ttl=DAY, value_ttl=HOUR)
    ledger.advance(HOUR - SLACK)
    assert claim(ledger, "m2").value == b"v"
    ledger.advance(SLACK)
    assert (claim(ledger, "m2").verdict, claim(ledger, "m2").value) == ("done", b"")
    assert settle(ledger, b"second") == b""
    ledger.advance(DAY - HOUR - SLACK)
    assert claim(ledger, "m2").verdict == "done"
    ledger.advance(SLACK)
    assert claim(ledger, "m2").verdict == "new"


def test_claiming_a_settled_record_does_not_shorten_it(ledger: Ledger) -> None:
    claim(ledger)
    settle(ledger)
    claim(ledger, "m1", lease=1_000)
    ledger.advance(HOUR)
    assert claim(ledger, "m2").verdict == "done"


def test_a_record_that_begins_again_has_no_value_of_the_last_one(ledger: Ledger) -> None:
    claim(ledger)
    settle(ledger, b"old", ttl=1_000, value_ttl=HOUR)
    ledger.advance(2_000)
    claim(ledger, "m2")
    assert settle(ledger, b"", owner="m2") == b""
    assert claim(ledger, "m3").value == b""


def test_a_value_need_not_be_kept_at_all(ledger: Ledger) -> None:
    claim(ledger)
    assert settle(ledger, b"v", value_ttl=0) == b"v"
    done = claim(ledger, "m2")
    assert (done.verdict, done.value) == ("done", b"")


def test_only_the_owner_releases_and_only_while_it_is_pending(ledger: Ledger) -> None:
    assert not ledger.store.release("s:x", "m1")
    claim(ledger, "m1")
    assert not ledger.store.release("s:x", "m2")
    assert ledger.store.release("s:x", "m1")
    assert claim(ledger, "m2").verdict == "new"
    settle(ledger, owner="m2")
    assert not ledger.store.release("s:x", "m2")


# --- suspicion ---
def test_a_redelivered_call_takes_over_once_half_of_a_silent_owners_lease_is_gone(ledger: Ledger) -> None:
    claim(ledger, "m1/1")
    busy = claim_again(ledger)
    assert (busy.verdict, busy.owner) == ("busy", "m1/1")
    assert 5_000 - SLACK < busy.remaining <= 5_000
    ledger.advance(5_000 - SLACK)
    assert claim_again(ledger).verdict == "busy"
    ledger.advance(SLACK)
    assert claim_again(ledger).verdict == "new"
    assert settle(ledger, owner="m1/1") is None
    assert not renew(ledger, "m1/1")
    assert settle(ledger, b"v", owner="m1/2") == b"v"


def test_an_owner_that_renews_is_safe_from_suspicion(ledger: Ledger) -> None:
    claim(ledger, "m1/1")
    for _ in range(3):
        ledger.advance(5_000 - SLACK)
        assert claim_again(ledger).verdict == "busy"
        assert renew(ledger, "m1/1")
    assert 5_000 - SLACK < claim_again(ledger).remaining <= 5_000


def test_who_takes_over_has_a_whole_lease_and_is_suspected_in_turn(ledger: Ledger) -> None:
    claim(ledger, "m1/1")
    ledger.advance(5_000)
    assert claim_again(ledger, "m1/2").verdict == "new"
    assert 10_000 - SLACK < claim(ledger, "m2/1").remaining <= 10_000
    assert claim_again(ledger, "m1/3").verdict == "busy"
    ledger.advance(5_000)
    assert claim_again(ledger, "m1/3").verdict == "new"


@pytest.mark.parametrize("owner", ["m2/1", "m10/1", "m/1", "1/m1"])
def test_another_call_is_not_suspected(ledger: Ledger, owner: str) -> None:
    claim(ledger, "m1/1")
    ledger.advance(8_000)
    busy = claim_again(ledger, owner)
    assert busy.verdict == "busy"
    assert 2_000 - SLACK < busy.remaining <= 2_000


def test_a_copy_that_was_not_redelivered_suspects_nobody(ledger: Ledger) -> None:
    claim(ledger, "m1/1")
    ledger.advance(8_000)
    assert claim(ledger, "m1/2").verdict == "busy"


def test_what_is_settled_stays_settled_for_a_redelivered_call(ledger: Ledger) -> None:
    claim(ledger, "m1/1")
    settle(ledger, owner="m1/1")
    ledger.advance(DAY - SLACK)
    assert claim_again(ledger).verdict == "done"


@pytest.mark.parametrize("lease", [1_000, 60_000])
def test_the_owners_own_lease_says_for_how_long_it_is_safe(ledger: Ledger, lease: int) -> None:
    claim(ledger, "m1/1")
    assert 5_000 - SLACK < claim_again(ledger, lease=lease).remaining <= 5_000


def test_a_redelivered_call_with_another_fingerprint_is_a_mismatch(ledger: Ledger) -> None:
    claim(ledger, "m1/1", "g")
    ledger.advance(8_000)
    assert claim_again(ledger).verdict == "mismatch"


@pytest.mark.parametrize(("owner", "fingerprint"), [("a|b", ""), ("a", "f|g"), ("a\nb", "")])
def test_owners_and_fingerprints_must_not_hold_what_parts_a_records_fields(
    ledger: Ledger, owner: str, fingerprint: str
) -> None:
    with pytest.raises(ValueError, match="bar nor a line end"):
        ledger.store.claim("s:x", owner, 1_000, fingerprint)
    with pytest.raises(ValueError, match="bar nor a line end"):
        ledger.store.settle("s:x", owner, fingerprint, b"", 1_000, 1_000)


# --- histories ---
def test_a_history_keeps_its_newest_entries_in_order(ledger: Ledger) -> None:
    for n in range(5):
        ledger.store.remember("a", f"e{n}", b"%d" % n, 3, HOUR)
    assert ledger.store.recall("a") == [b"2", b"3", b"4"]
    assert ledger.store.recall("b") == []


def test_an_entry_with_a_known_id_takes_its_place(ledger: Ledger) -> None:
    for entry_id, entry in [("e1", b"old"), ("e2", b"2"), ("e1", b"a\nb\x00\xff"), ("e", b"prefix")]:
        ledger.store.remember("a", entry_id, entry, 10, HOUR)
    assert ledger.store.recall("a") == [b"a\nb\x00\xff", b"2", b"prefix"]


def test_a_history_ends_after_its_last_entrys_ttl(ledger: Ledger) -> None:
    ledger.store.remember("a", "e1", b"1", 10, HOUR)
    ledger.advance(HOUR - SLACK)
    ledger.store.remember("a", "e2", b"2", 10, HOUR)
    ledger.advance(HOUR - SLACK)
    assert ledger.store.recall("a") == [b"1", b"2"]
    ledger.advance(SLACK)
    assert ledger.store.recall("a") == []

"""Whatever keys, ids, bodies, values and reasons hold, a store gives back the same, and nothing of one for another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.stores.values import DAY, ClaimCheck, FollowUp, Offer, Window, digest
from tests.conformance.ledgers import LEDGERS, Ledger

NOW = Window(wait=0, max_wait=0)
#: Whatever UTF-8 can hold.
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
#: What has a meaning somewhere: in keys, in records, to Lua's patterns, or to SCAN's.
ODD = st.text("/:|{}%*?[]^$-.\n\0 01é\U0001f600", max_size=12)
NAMES = TEXT | ODD
BYTES = st.binary(max_size=40) | ODD.map(str.encode)
#: Owners and fingerprints have no bars and no line ends.
PLAIN = NAMES.map(lambda text: text.replace("|", "").replace("\n", ""))
FUZZ = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
STORES = pytest.mark.parametrize("name", ["memory", "redis"])


@contextmanager
def made(request: pytest.FixtureRequest, name: str) -> Iterator[Ledger]:
    ledger = LEDGERS[name](request)
    try:
        yield ledger
        assert ledger.immortal() == []
    finally:
        ledger.close()


def run(ledger: Ledger, key: str, owner: str, bodies: list[bytes]) -> ClaimCheck:
    (check,) = [check for check in ledger.look().checks if check.key == key]
    assert ledger.hand_over(check)
    begun = ledger.begin(check, owner)
    assert (begun.verdict, [entry.body for entry in begun.entries]) == ("new", bodies)
    return check


@STORES
@FUZZ
@given(
    subject=NAMES, items=st.dictionaries(NAMES, BYTES, min_size=1, max_size=4), owner=PLAIN, value=BYTES, reply=BYTES
)
def test_a_whole_life(
    request: pytest.FixtureRequest,
    name: str,
    subject: str,
    items: dict[str, bytes],
    owner: str,
    value: bytes,
    reply: bytes,
) -> None:
    key, out, owner = f"turn/{subject}", f"out/{subject}", owner or "w"
    offers = [Offer(key=key, item_id=item, body=body, window=NOW) for item, body in items.items()]
    with made(request, name) as ledger:
        store = ledger.store
        assert {answer.verdict for answer in store.offer(offers)} <= {"opened", "full"}
        assert {answer.verdict for answer in store.offer(offers)} == {"duplicate"}
        assert [entry.digest for entry in store.peek(key)] == [digest(key, item) for item in items]
        check = run(ledger, key, owner, list(items.values()))
        follow_up = FollowUp(key=out, item_id="r", body=reply, window=NOW)
        assert store.finish(check, owner, "ok", value=value, follow_ups=[follow_up]) == "settled"
        late = ledger.begin(check, "late")
        assert (late.verdict, late.value) == ("done", value)
        reply_check = run(ledger, out, owner, [reply])
        assert store.finish(reply_check, owner, "dead", value=value) == "settled"
        (grave,) = store.graves()
        assert (grave.key, grave.epoch, grave.reason, grave.size) == (out, reply_check.epoch, value, 1)
        assert store.replay(out, reply_check.epoch, NOW) == 1
        assert store.forget(out) == 1


@STORES
@FUZZ
@given(key=NAMES, owner=PLAIN, fingerprint=PLAIN, value=BYTES)
def test_a_record(
    request: pytest.FixtureRequest, name: str, key: str, owner: str, fingerprint: str, value: bytes
) -> None:
    key, owner = key or "k", owner or "o"
    with made(request, name) as ledger:
        store = ledger.store
        assert store.claim(key, owner, 5_000, fingerprint).verdict == "new"
        busy = store.claim(key, owner + "x", 5_000, fingerprint)
        assert (busy.verdict, busy.owner) == ("busy", owner)
        assert store.settle(key, owner, fingerprint, value, DAY, DAY) == value
        done = store.claim(key, owner + "x", 5_000, fingerprint)
        assert (done.verdict, done.owner, done.value) == ("done", owner, value)
        assert store.claim(key, owner, 5_000, fingerprint + "x").verdict == "mismatch"


@STORES
@FUZZ
@given(subject=NAMES, entries=st.lists(st.tuples(PLAIN, BYTES), max_size=5))
def test_a_history(request: pytest.FixtureRequest, name: str, subject: str, entries: list[tuple[str, bytes]]) -> None:
    with made(request, name) as ledger:
        for entry_id, entry in entries:
            ledger.store.remember(subject, entry_id, entry, 10, DAY)
        assert ledger.store.recall(subject) == list(dict(entries).values())

"""Every store keeps a journal: a capped list of notes that expire, found by their subject or by a name."""

from __future__ import annotations

from typing import Any

import pytest

from chatbot.errors import StoreFull
from chatbot.stores.operators import Note, Noted
from chatbot.stores.redis import RedisStore
from tests.conformance.ledgers import Ledger, RedisLedger

HOUR = 3_600_000


def write(ledger: Ledger, *subjects: str, most: int = 1_000, ttl: int = HOUR, **more: Any) -> None:
    ledger.store.note([Note(subject=subject, data=subject.encode(), **more) for subject in subjects], most, ttl)


def read(ledger: Ledger, count: int = 1_000, **by: Any) -> list[Noted]:
    """Read in steps until the end is reached."""
    found, cursor = [], ""
    while True:
        page = ledger.store.journal(cursor, count, **by)
        found += page.notes
        if not (cursor := page.cursor):
            return found


def texts(notes: list[Noted]) -> list[str]:
    return [note.data.decode() for note in notes]


def test_an_empty_journal_has_no_notes(ledger: Ledger) -> None:
    assert read(ledger, subject="a") == read(ledger, name="a") == []


def test_notes_are_found_by_their_subject_in_the_order_in_which_they_were_written(ledger: Ledger) -> None:
    ledger.store.note([Note(subject="a/x", data=data) for data in (b"1", b"2")], 1_000, HOUR)
    ledger.store.note([Note(subject="b", data=b"other"), Note(subject="a/x", data=b"3")], 1_000, HOUR)
    assert texts(read(ledger, subject="a/x")) == ["1", "2", "3"]
    assert texts(read(ledger, subject="a/x", count=1)) == ["1", "2", "3"]
    assert read(ledger, subject="a") == []


@pytest.mark.parametrize(
    ("needle", "found"),
    [("m1", True), ("chan::c1:m1", True), ("chan::c1", True), ("uuid", True), ("m", False), ("1", False)],
)
def test_notes_are_found_by_any_run_of_the_parts_of_a_name(ledger: Ledger, needle: str, found: bool) -> None:
    write(ledger, "s", names=("chan::c1:m1", "uuid"))
    assert bool(read(ledger, name=needle)) == found


def test_a_search_is_for_a_subject_or_for_a_name(ledger: Ledger) -> None:
    for by in ({}, {"subject": "a", "name": "a"}):
        with pytest.raises(ValueError, match="by a subject or by a name"):
            ledger.store.journal("", 1, **by)


def test_a_note_tells_when_it_happened_by_the_clock_of_the_store(ledger: Ledger) -> None:
    write(ledger, "a", age=400)
    now = ledger.store.inspect("turn/a").now
    (note,) = read(ledger, subject="a")
    assert 400 <= now - note.at < 3_400


def test_the_newest_notes_are_kept(ledger: Ledger) -> None:
    for number in range(20):
        ledger.store.note([Note(subject="a", data=b"%d" % (number * 50 + i)) for i in range(50)], 100, HOUR)
    kept = texts(read(ledger, subject="a"))
    assert 100 <= len(kept) <= 300, "a stream drops whole nodes of a hundred"
    assert kept == [str(n) for n in range(1_000 - len(kept), 1_000)]


def test_notes_expire_one_by_one_while_others_are_written(ledger: Ledger) -> None:
    write(ledger, "old")
    ledger.advance(HOUR - 2_000)
    write(ledger, "new")
    assert texts(read(ledger, subject="old")) == ["old"]
    ledger.advance(4_000)
    write(ledger, "newest")
    assert read(ledger, subject="old") == []
    assert texts(read(ledger, subject="new")) == ["new"]


def test_a_quiet_journal_expires_as_a_whole(ledger: Ledger) -> None:
    write(ledger, "a")
    ledger.advance(HOUR + 1_000)
    assert read(ledger, subject="a") == []


def test_erasing_takes_the_notes_of_one_subject_and_no_others(ledger: Ledger) -> None:
    write(ledger, "a", "b", "a", "a:thread", names=("a",))
    assert texts(read(ledger, subject="a", erase=True, count=1)) == ["a", "a"]
    assert texts(read(ledger, name="a")) == ["b", "a:thread"]


def test_a_full_store_takes_no_notes(private_redis) -> None:
    store = RedisStore(private_redis().url)
    store.note([Note(subject="a", data=b"1")], 1_000, HOUR)
    store.client.config_set("maxmemory", 1)
    with pytest.raises(StoreFull):
        store.note([Note(subject="a", data=b"2")], 1_000, HOUR)
    assert texts(store.journal("", 10, subject="a").notes) == ["1"]
    store.close()


def test_what_has_expired_does_not_stay_in_the_store(redis_server) -> None:
    ledger = RedisLedger(redis_server.url)
    for _ in range(5):
        write(ledger, "old", most=100_000)
    ledger.advance(HOUR - 2_000)
    write(ledger, "new", most=100_000)
    ledger.advance(4_000)
    write(ledger, *["newest"] * 1_000, most=100_000)
    assert ledger.redis.client.xlen(f"{{{ledger.redis.namespace}:0}}j") == 2
    ledger.close()


def test_a_journal_of_many_partitions_is_read_as_one(redis_server) -> None:
    store = RedisStore(redis_server.url, namespace="journal-parts", partitions=4)
    subjects = [f"s{n}" for n in range(20)]
    store.note([Note(subject=s, data=s.encode(), names=("all",)) for s in subjects], 1_000, HOUR)
    found, cursor, steps = [], "", 0
    while True:
        page = store.journal(cursor, 3, name="all")
        found, cursor, steps = found + texts(page.notes), page.cursor, steps + 1
        if not cursor:
            break
    assert sorted(found) == sorted(subjects)
    assert texts(store.journal("", 100, subject="s7").notes) == ["s7"]
    store.client.delete(*store.client.keys("{journal-parts*"))
    store.close()

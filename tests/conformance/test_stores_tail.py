"""Every store tells who looks on what happened last, and which keys are open."""

from __future__ import annotations

from chatbot.stores.operators import Note
from chatbot.stores.redis import RedisStore
from tests.conformance.ledgers import Ledger
from tests.servers import RedisServer

HOUR = 3_600_000


def write(ledger: Ledger, *texts: str, ttl: int = HOUR) -> None:
    """Write notes down, a call for each."""
    for text in texts:
        ledger.store.note([Note(subject=text, data=text.encode())], 1_000, ttl)


def tail(ledger: Ledger, cursor: str = "", count: int = 100, back: int = 100) -> tuple[list[str], str]:
    page = ledger.store.tail(cursor, count, back)
    return [note.data.decode() for note in page.notes], page.cursor


def test_a_tail_begins_so_many_notes_before_the_end(ledger: Ledger) -> None:
    write(ledger, "1", "2", "3")
    assert tail(ledger)[0] == ["1", "2", "3"]
    assert tail(ledger, back=2)[0] == ["2", "3"]
    assert tail(ledger, back=0)[0] == []


def test_a_tail_goes_on_where_it_was_and_shows_nothing_twice(ledger: Ledger) -> None:
    write(ledger, "1")
    _, cursor = tail(ledger)
    write(ledger, "2", "3")
    first, cursor = tail(ledger, cursor, 1)
    second, cursor = tail(ledger, cursor)
    assert (first, second) == (["2"], ["3"])
    assert tail(ledger, cursor) == ([], cursor)


def test_a_tail_of_nothing_shows_what_is_written_next(ledger: Ledger) -> None:
    found, cursor = tail(ledger)
    assert (found, bool(cursor)) == ([], True)
    write(ledger, "1")
    assert tail(ledger, cursor)[0] == ["1"]


def test_a_tail_does_not_show_what_has_expired(ledger: Ledger) -> None:
    write(ledger, "old")
    ledger.advance(HOUR - 2_000)
    write(ledger, "new")
    ledger.advance(4_000)
    assert tail(ledger)[0] == ["new"]


def test_open_keys_are_listed_by_when_they_are_due(ledger: Ledger) -> None:
    ledger.offer("m1", key="turn/later", wait=50_000)
    ledger.offer("m2", key="turn/sooner", wait=10_000)
    assert ledger.store.open_keys(10) == ["turn/sooner", "turn/later"]
    assert ledger.store.open_keys(1) == ["turn/sooner"]


def test_a_key_that_is_idle_again_is_not_open(ledger: Ledger) -> None:
    ledger.offer("m1", wait=0, max_wait=0)
    assert ledger.store.open_keys(10) == ["turn/a"]
    ledger.run_all()
    assert ledger.store.open_keys(10) == []


def test_many_partitions_are_one_to_who_looks_on(redis_server: RedisServer) -> None:
    redis_server.flush()
    store = RedisStore(redis_server.url, namespace="tail-parts", partitions=4)
    names = [f"s{n}" for n in range(20)]
    page = store.tail("", 100)
    store.note([Note(subject=name, data=name.encode()) for name in names], 1_000, HOUR)
    assert sorted(note.subject for note in store.tail(page.cursor, 100).notes) == sorted(names)
    store.close()

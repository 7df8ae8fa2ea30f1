"""Rules 3, 4, 12 and 13: items come, wait and go; none is stranded, none is searched for, and no flood is endless."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from chatbot.middleware import Debounced, Deduplicated, Idempotent
from chatbot.stores.mailbox import Mailbox
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import Offer, Window
from tests.conformance.ledgers import Ledger, bodies
from tests.middleware.running import House, window
from tests.waiting import wait_until

URGENT = {"wait": 0, "max_wait": 0}
NOW = Window(wait=0, max_wait=0)
MIB = 1_048_576


# --- 3 ---
def test_rule_03_nothing_is_stranded_between_the_last_look_and_the_release(ledger: Ledger) -> None:
    """Items arrive from one thread while another settles turns: whoever finds the key empty releases it at once."""
    ran: list[str] = []
    expected = [str(number) for number in range(120)]

    def arrive() -> None:
        for number in expected:
            ledger.store.offer([Offer(key="turn/a", item_id=number, body=number.encode(), window=NOW)])

    arrivals = threading.Thread(target=arrive)
    arrivals.start()
    wait_until(lambda: run_due(ledger, ran) or not arrivals.is_alive(), interval=0)
    while arrivals.is_alive():
        run_due(ledger, ran)
    arrivals.join()
    # A turn holds 50 items at most: what has come in the meantime may be several.
    wait_until(lambda: not run_due(ledger, ran) and len(ran) >= len(expected))
    assert ran == expected
    assert ledger.store.inspect("turn/a").state == "idle"


def run_due(ledger: Ledger, ran: list[str]) -> bool:
    """Run what is due; an item that nothing would look at would never be."""
    checks = ledger.look().checks
    for check in checks:
        ran += bodies(ledger.begin(check, "w"))
        assert ledger.finish(check, "w") == "settled"
    return bool(checks)


def test_rule_03_an_empty_key_is_idle_the_moment_it_settles(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    ledger.finish(ledger.run())
    assert ledger.store.inspect("turn/a").state == "idle"
    assert ledger.look().next_look is None


# --- 4 ---
def test_rule_04_arrivals_during_a_run_wait_and_open_the_next_window(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    assert ledger.offer("2", "3", **URGENT) == ["opened", "full"]
    assert not ledger.published()
    assert bodies(ledger.begin(check)) == ["1"]
    ledger.finish(check)
    assert ledger.run_all() == [["2", "3"]]


def test_rule_04_arrivals_during_a_run_never_run_beside_it(house: House) -> None:
    inside, most, runs = list[str](), list[int](), list[str]()
    gate = threading.Event()

    def collect(items: list[str]) -> None:
        inside.append("in")
        most.append(len(inside))
        runs.extend(items)
        assert gate.wait(10)
        inside.pop()

    actor = house.declare(collect, debounced=window(wait=0, max_items=1))
    house.work()
    actor.send("a0")
    wait_until(lambda: inside)
    for number in range(1, 8):
        actor.send(f"a{number}")
    gate.set()
    house.settled(actor)
    assert runs == [f"a{number}" for number in range(8)]
    assert set(most) == {1}


# --- 12 ---
def test_rule_12_no_message_makes_the_server_search(redis_house: House) -> None:
    """The server counts its commands, those of scripts included."""
    assert isinstance(redis_house.store, RedisStore)
    client, done = redis_house.store.client, list[Any]()

    def searches() -> dict[str, int]:
        stats = client.info("commandstats")
        names = ("keys", "scan", "hscan", "sscan", "zscan", "smembers")
        return {name: stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in names}

    before = searches()
    failing = redis_house.declare(lambda items: 1 // 0, actor_name="f", debounced=window(wait=0, attempts=2))
    debounced = redis_house.declare(lambda items: done.extend(items), actor_name="d", debounced=window(wait=0))
    plain = redis_house.declare(
        done.append, actor_name="p", deduplicated=Deduplicated(window=60_000), idempotent=Idempotent(key="{object}")
    )
    redis_house.work()
    for number in range(5):
        failing.send(f"a{number}")
        debounced.send(f"a{number}")
        plain.send(f"a{number}")
    wait_until(lambda: len(done) == 10)
    redis_house.settled(failing)
    redis_house.settled(debounced)
    assert searches() == before


def test_rule_12_a_pump_looks_at_nothing_that_is_not_due(monkeypatch: pytest.MonkeyPatch, memory: House) -> None:
    looked: list[int] = []
    look: Callable[..., Any] = Mailbox.look

    def counted(self: Mailbox, *args: Any) -> Any:
        looked.append(1)
        return look(self, *args)

    later = Window(wait=60_000, max_wait=60_000)
    memory.store.offer([Offer(key=f"turn/{n}", item_id="1", body=b"", window=later) for n in range(1_000)])
    memory.store.offer([Offer(key="turn/due", item_id="1", body=b"", window=NOW)])
    monkeypatch.setattr(Mailbox, "look", counted)
    assert [check.key for check in memory.store.take_due(200, 5_000, 30_000).checks] == ["turn/due"]
    assert len(looked) <= 3


# --- 13 ---
def test_rule_13_a_key_buffers_a_thousand_items_and_not_one_more(ledger: Ledger) -> None:
    ids = [str(number) for number in range(1_001)]
    assert ledger.offer(*ids, max_items=1_000).count("overflow") == 1
    assert ledger.offer("1000") == ["overflow"]
    assert ledger.offer("1000", key="turn/b") == ["opened"]
    ledger.finish(ledger.run())
    assert ledger.offer("1000") == ["opened"]


def test_rule_13_a_key_buffers_a_mebibyte_and_not_a_byte_more(ledger: Ledger) -> None:
    def offer(item_id: str, size: int) -> str:
        return ledger.store.offer([Offer(key="turn/a", item_id=item_id, body=b"x" * size, window=NOW)])[0].verdict

    assert [offer("1", MIB - 1), offer("2", 2), offer("3", 1)] == ["opened", "overflow", "full"]
    while ledger.run_all():
        pass
    assert offer("2", 2) == "opened"


def test_rule_13_both_limits_are_what_a_policy_gives_unless_told_otherwise() -> None:
    to = Debounced(key="all", wait=0, max_wait=0).window(1)
    assert (to.max_buffered, to.max_buffered_bytes) == (1_000, MIB)


def test_rule_13_a_call_that_does_not_fit_is_told_so_and_leaves_nothing(house: House) -> None:
    actor = house.declare(
        lambda items: None, actor_name="d", debounced=window(max_buffered=2, wait=60_000, max_wait=60_000)
    )
    calls = [actor.message(f"a{number}") for number in range(4)]
    assert [m.options["outcome"] for m in house.broker.enqueue_many(calls)] == ["absorbed"] * 2 + ["overflow"] * 2
    house.store.forget(f"{actor.actor_name}/a")
    assert [m.options["outcome"] for m in house.broker.enqueue_many(calls[2:])] == ["absorbed"] * 2

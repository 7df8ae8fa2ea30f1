"""Rules 5, 7, 8 and 9: how long a lease, a memory and open work last, and by whose clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import pytest

from chatbot.actors import declare_actors
from chatbot.actors.history import History
from chatbot.brokers.stub import StubBroker
from chatbot.errors import ConfigurationError, StoreFull
from chatbot.middleware import guarded_stack
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.runner import GRACE, LEASE
from chatbot.model import InboundMessage
from chatbot.scheduling import Periodic
from chatbot.settings import read
from chatbot.stores.base import Store
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import DAY, OPEN, ClaimCheck, Lease, Offer, Window
from tests.conformance.ledgers import Ledger
from tests.servers import RedisServer
from tests.waiting import wait_until

URGENT = {"wait": 0, "max_wait": 0}
#: ms. Real time may pass too: what is "not yet" leaves this much.
SLACK = 3_000


# --- 5 ---
def test_rule_05_a_lease_is_five_seconds_and_renewed_every_second(ledger: Ledger) -> None:
    assert LEASE == 5_000
    held = Heartbeat(ledger.store).holding(Lease("claim", "k", "me"), LEASE, time.monotonic())
    with held as one:
        assert one.pace == 1.0


def test_rule_05_one_call_renews_all_leases_of_a_process(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    renew = ledger.store.renew

    def counted(leases: Sequence[Lease], lease: int) -> list[bool]:
        calls.append(len(leases))
        return renew(leases, lease)

    monkeypatch.setattr(ledger.store, "renew", counted)
    heartbeat, names = Heartbeat(ledger.store), [f"k{n}" for n in range(40)]
    with ExitStack() as held:
        since = time.monotonic()
        for name in names:
            ledger.store.claim(name, "me", SLACK)
            held.enter_context(heartbeat.holding(Lease("claim", name, "me"), SLACK, since))
        wait_until(lambda: 40 in calls[-3:])
        together = len(calls)
        wait_until(lambda: len(calls) > together + 2)
        assert set(calls[together:]) == {40}


def test_rule_05_a_dead_worker_loses_its_turn_within_its_lease(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("dead")
    ledger.advance(LEASE - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    assert ledger.begin(ledger.take(), "w2").verdict == "taken"
    assert ledger.finish(check, "w2") == "settled"


def test_rule_05_a_redelivered_copy_takes_over_once_two_renewals_are_overdue(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("dead")
    assert ledger.begin(check, "w2", grace=GRACE).verdict == "busy"
    ledger.advance(GRACE)
    assert ledger.begin(ledger.take(), "w3").verdict == "taken"


def test_rule_05_a_long_run_that_renews_keeps_its_turn(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run("w1")
    for _ in range(10):
        ledger.advance(LEASE - SLACK)
        assert ledger.renew("w1")
        assert not ledger.published()
    assert ledger.finish(check, "w1") == "settled"


# --- 7 ---
@pytest.mark.parametrize("ours", [0.0, 4_102_444_800.0], ids=["1970", "2100"])
def test_rule_07_time_is_the_stores_whatever_our_own_clock_says(
    ledger: Ledger, ours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: ours)
    monkeypatch.setattr(time, "time_ns", lambda: int(ours * 1e9))
    ledger.offer("1", wait=20_000, max_wait=100_000)
    ledger.advance(20_000 - SLACK)
    assert not ledger.published()
    ledger.advance(SLACK)
    check = ledger.take()
    assert abs(check.stamp - ledger.now()) < SLACK
    assert ledger.begin(check, "w1").verdict == "new"
    assert ledger.begin(check, "w2").verdict == "busy"
    ledger.advance(LEASE)
    assert ledger.begin(ledger.take(), "w2").verdict == "taken"


# --- 8 ---
def test_rule_08_open_work_lives_thirty_days_after_its_last_touch_and_no_longer(ledger: Ledger) -> None:
    ledger.offer("1")
    ledger.advance(OPEN - DAY)
    ledger.offer("2")
    ledger.advance(OPEN - DAY)
    assert ledger.store.inspect("turn/a").buffered == 2
    ledger.advance(OPEN)
    assert ledger.store.inspect("turn/a").state == "idle"


def test_rule_08_whatever_was_done_every_key_has_a_time_to_live(ledger: Ledger) -> None:
    """The fixture looks at every key in the end, too."""
    store = ledger.store
    for key in ("turn/a", "turn/b", "turn/c", "turn/d"):
        ledger.offer("1", "2", key=key, **URGENT)
    ledger.offer("1", key="turn/waits")
    a, b, c, d = sorted(ledger.look().checks, key=lambda check: check.key)
    assert store.handed_over([a, b, c, d], 1_000) == [True] * 4
    for check in (a, b, c, d):
        ledger.begin(check)
    ledger.finish(a, value=b"v")
    ledger.finish(b, outcome="dead", value=b"why")
    ledger.finish(c, outcome="split", delay=1_000)
    ledger.finish(d, outcome="retry", delay=1_000)
    ledger.edit("amend", "e", "1", key="turn/waits")
    store.claim("claimed", "me", 1_000)
    store.claim("settled", "me", 1_000)
    store.settle("settled", "me", "", b"v", 60_000, 1_000)
    store.remember("somebody", "1", b"hello", 10, 60_000)
    assert ledger.immortal() == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
def test_rule_08_a_store_that_may_evict_is_refused(private_redis: Callable[..., RedisServer], policy: str) -> None:
    store = RedisStore(private_redis(None, "--maxmemory-policy", policy).url)
    with pytest.raises(ConfigurationError, match="noeviction"):
        store.check()
    store.close()


def test_rule_08_a_full_store_still_drains(private_redis: Callable[..., RedisServer]) -> None:
    store, now = RedisStore(private_redis().url), Window(wait=0, max_wait=0)
    store.offer([Offer(key="turn/a", item_id="1", body=b"x", window=now)])
    store.client.config_set("maxmemory", "1")
    with pytest.raises(StoreFull):
        store.offer([Offer(key="turn/a", item_id="2", body=b"x", window=now)])
    (check,) = store.take_due(10, 5_000, 30_000).checks
    assert store.handed_over([check], 30_000) == [True]
    assert store.begin(check, "w1", LEASE).verdict == "new"
    assert store.renew([Lease("turn", "turn/a", "w1")], LEASE) == [True]
    assert store.finish(check, "w1", "ok") == "settled"
    assert store.inspect("turn/a").state == "idle"
    store.close()


# --- 9 ---
def test_rule_09_an_open_items_id_outlives_any_outage_and_its_day_starts_when_it_settles(ledger: Ledger) -> None:
    ledger.offer("1", wait=0, id_ttl=DAY)
    ledger.advance(3 * DAY)
    assert ledger.offer("1") == ["duplicate"]
    ledger.finish(ledger.run())
    ledger.advance(DAY - SLACK)
    assert ledger.offer("1") == ["duplicate"]
    ledger.advance(SLACK)
    assert ledger.offer("1") == ["opened"]


def test_rule_09_a_result_is_kept_for_another_time_than_its_ids(ledger: Ledger) -> None:
    ledger.offer("1", **URGENT)
    check = ledger.run()
    ledger.finish(check, value=b"v", result_ttl=3_600_000)
    assert ledger.begin(check, "late").value == b"v"
    ledger.advance(3_600_000)
    assert ledger.begin(check, "later").verdict == "stale"
    assert ledger.offer("1") == ["duplicate"]


def test_rule_09_a_records_result_is_kept_for_another_time_than_its_key(ledger: Ledger) -> None:
    store = ledger.store
    store.claim("k", "me", LEASE)
    store.settle("k", "me", "", b"v", DAY, 60_000)
    ledger.advance(60_000)
    late = store.claim("k", "other", LEASE)
    assert (late.verdict, late.value) == ("done", b"")


class Resending:
    """A channel whose provider sends again for so long."""

    def __init__(self, days: int) -> None:
        self.resend_horizon = days * DAY


@pytest.mark.parametrize(("days", "remembered"), [(7, 7), (0, 1)], ids=["longer than us", "shorter than us"])
def test_rule_09_a_channel_whose_provider_resends_for_longer_says_so(
    ledger: Ledger, days: int, remembered: int
) -> None:
    settings = read({"CHATBOT_BROKER_URL": "redis://b", "CHATBOT_STORE_URL": "redis://s"})
    broker = StubBroker(middleware=[Periodic(ledger.store), *guarded_stack(ledger.store)])
    parts: Any = ({"chat": Resending(days)}, SimpleNamespace(), History(ledger.store, most=1, ttl=1_000))
    actors = declare_actors(broker, settings, *parts, ledger.store)
    message = InboundMessage(channel="chat", conversation_id="c", message_id="m", dedupe_key="m", text="hi")

    def send() -> str:
        return str(actors.process_turn.send(message).options["outcome"])

    assert [send(), send()] == ["absorbed", "duplicate"]
    ledger.advance(settings.debounce_max_wait_ms)
    run_one(ledger.store)
    ledger.advance(remembered * DAY - SLACK)
    assert send() == "duplicate"
    ledger.advance(SLACK)
    assert send() == "absorbed"


def run_one(store: Store) -> ClaimCheck:
    (check,) = store.take_due(10, 5_000, 30_000).checks
    assert store.begin(check, "w", LEASE).verdict == "new"
    assert store.finish(check, "w", "ok") == "settled"
    return check

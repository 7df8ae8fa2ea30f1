"""What only a server can get wrong: keys and slots, a full memory, lost scripts, and being away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from redis.crc import key_slot
from redis.exceptions import ResponseError

from chatbot.errors import ConfigurationError, StoreFull, StoreUnavailable
from chatbot.stores.partitions import BATCH
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import (
    DAY,
    OPEN,
    Claim,
    ClaimCheck,
    FollowUp,
    Lease,
    Offer,
    Settling,
    Wanted,
    Window,
    digest,
)
from tests.servers import RedisServer
from tests.waiting import wait_until

URGENT = Window(wait=0, max_wait=0)


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture
def store(server: RedisServer) -> Iterator[RedisStore]:
    store = RedisStore(server.url)
    yield store
    store.close()


def offer(store: RedisStore, item_id: str, key: str = "turn/a", window: Window = URGENT) -> str:
    return store.offer([Offer(key=key, item_id=item_id, body=b"body", window=window)])[0].verdict


def run(store: RedisStore, key: str = "turn/a") -> ClaimCheck:
    check = next(check for check in store.take_due(1_000, 5_000, 30_000).checks if check.key == key)
    assert store.begin(check, "w1", 5_000).verdict == "new"
    return check


def ttl(store: RedisStore, key: str) -> int:
    return int(store.client.pttl("{chatbot:0}" + key))


# --- what an item that joins need not do ---
def test_a_pump_is_not_woken_for_what_puts_a_window_off(store: RedisStore) -> None:
    window = Window(wait=60_000, max_wait=120_000)
    offer(store, "1", window=window)
    assert store.client.lpop("{chatbot:0}wake")
    assert offer(store, "2", window=window) == "joined"
    assert not store.client.exists("{chatbot:0}wake")
    store.client.delete("{chatbot:0}due")  # a key that nobody would look at any more is looked at soon
    offer(store, "3", window=window)
    assert store.client.exists("{chatbot:0}wake")


# --- many records in one call ---
@pytest.mark.parametrize("partitions", [1, 4])
def test_a_foreign_value_under_a_records_key_harms_no_other_record(server: RedisServer, partitions: int) -> None:
    with closing(RedisStore(server.url, partitions=partitions)) as store:
        store.claim("s:b", "m0", 10_000)
        (key,) = store.client.keys("*c:s:b")
        store.client.delete(key)
        store.client.rpush(key, "foreign")
        store.client.pexpire(key, DAY)
        wanted = [Wanted(f"s:{name}", "m1", 10_000) for name in "abc"]
        settled = [Settling(one.key, "m1", "", one.key.encode(), DAY, DAY) for one in wanted]
        claimed, told = store.claim_many(wanted), store.settle_many(settled)
        assert [type(answer) for answer in claimed] == [Claim, ResponseError, Claim]
        assert [type(answer) for answer in told] == [bytes, ResponseError, bytes]
        assert (told[0], told[2]) == (b"s:a", b"s:c")
        assert all("WRONGTYPE" in str(answers[1]) for answers in (claimed, told))


def test_a_ttl_that_no_server_takes_harms_no_other_record(store: RedisStore) -> None:
    ttls = [DAY, 2**63 - 1, DAY]
    for n in range(3):
        store.claim(f"s:{n}", "m1", 10_000)
    told = store.settle_many([Settling(f"s:{n}", "m1", "", b"v", ttl, DAY) for n, ttl in enumerate(ttls)])
    assert [type(answer) for answer in told] == [bytes, ResponseError, bytes]
    assert [store.claim(f"s:{n}", "m2", 10_000).verdict for n in range(3)] == ["done", "busy", "done"]


def test_more_records_than_a_call_takes_are_answered_in_their_order(server: RedisServer) -> None:
    with closing(RedisStore(server.url, partitions=3)) as store:
        wanted = [Wanted(f"s:{n}", f"m{n}", 10_000) for n in range(2 * BATCH + 1)]
        settled = [Settling(one.key, one.owner, "", one.key.encode(), DAY, DAY) for one in wanted]
        assert {answer.verdict for answer in store.claim_many(wanted) if isinstance(answer, Claim)} == {"new"}
        assert store.settle_many(settled) == [one.key.encode() for one in wanted]


@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_a_server_that_is_no_master_any_more_takes_no_record(store: RedisStore, verb: str) -> None:
    settled = [Settling(f"s:{n}", "m1", "", b"v", DAY, DAY) for n in range(2)]
    asked = [Wanted(one.key, one.owner, 10_000) for one in settled]
    store.client.replicaof("127.0.0.1", 1)
    answers: Sequence[object] = store.claim_many(asked) if verb == "claim" else store.settle_many(settled)
    assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
    store.client.replicaof("NO", "ONE")
    assert store.settle_many(settled) == [b"v", b"v"]


# --- keys ---
def test_all_keys_of_a_conversation_share_a_slot(server: RedisServer) -> None:
    store = RedisStore(server.url, partitions=64)
    for outcome in ("ok", "dead"):
        offer(store, outcome)
        check = run(store)
        offer(store, f"{outcome} buffered")
        follow_up = FollowUp(key="out/a", item_id=outcome, body=b"", window=URGENT)
        store.finish(check, "w1", outcome, follow_ups=[follow_up])  # type: ignore[arg-type]
        run(store)
        store.unlock("turn/a", store.inspect("turn/a").epoch, "w1")
        store.forget("other/a")
        offer(store, f"{outcome} again", "again/a")
    store.remember("a", "e", b"", 10, DAY)
    keys = store.client.keys("*")
    assert len(keys) > 12
    assert len({key_slot(key) for key in keys}) == 1
    store.close()


def test_partitions_spread_the_conversations_and_answers_keep_their_order(server: RedisServer) -> None:
    store = RedisStore(server.url, partitions=8)
    offers = [Offer(key=f"turn/{n % 50}", item_id=str(n // 50), body=b"", window=URGENT) for n in range(250)]
    assert [a.verdict for a in store.offer(offers)] == ["opened"] * 50 + ["full"] * 200
    assert len({key_slot(key) for key in store.client.keys("*")}) == 8
    due = store.take_due(100, 5_000, 30_000)
    assert {check.key for check in due.checks} == {f"turn/{n}" for n in range(50)}
    assert store.handed_over(due.checks, 30_000) == [True] * 50
    assert all(len(store.begin(check, "w1", 5_000).entries) == 5 for check in due.checks)
    store.close()


def test_an_id_lives_as_long_as_its_item_can_be_open_then_for_its_ttl(store: RedisStore) -> None:
    offer(store, "1")
    key = "i:" + digest("turn/a", "1")
    assert OPEN - 10_000 < ttl(store, key) <= OPEN
    store.finish(run(store), "w1", "ok")
    assert DAY - 10_000 < ttl(store, key) <= DAY


def test_a_settled_turn_leaves_its_result_its_epoch_and_its_ids_only(store: RedisStore) -> None:
    offer(store, "1")
    check = run(store)
    store.finish(check, "w1", "ok", result_ttl=60_000)
    left = {key.decode().removeprefix("{chatbot:0}") for key in store.client.keys("*")}
    ids = f"i:{digest('turn/a', '1')}"
    assert left - {"wake"} == {ids, f"r:turn/a:{check.epoch}", "e:turn/a", "m"}
    assert 50_000 < ttl(store, f"r:turn/a:{check.epoch}") <= ttl(store, "e:turn/a") + 1 <= 60_001


def test_the_index_of_dead_letters_drops_what_has_expired(store: RedisStore) -> None:
    store.client.zadd("{chatbot:0}dead", {"turn/old:1": 1})
    store.client.pexpire("{chatbot:0}dead", OPEN)
    offer(store, "1")
    check = run(store)
    store.finish(check, "w1", "dead")
    assert store.client.zrange("{chatbot:0}dead", 0, -1) == [f"turn/a:{check.epoch}".encode()]


def test_at_most_one_token_waits_for_sleeping_pumps(store: RedisStore) -> None:
    for n in range(9, 0, -1):
        offer(store, "1", f"turn/{n}", Window(wait=n * 1_000, max_wait=10_000))
    assert store.client.llen("{chatbot:0}wake") == 1


def test_a_sleeping_pump_is_woken_by_another_connection(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chatbot.stores.redis.LONGEST_SLEEP", 60_000)
    store, other, woken = RedisStore(server.url, socket_timeout=90), RedisStore(server.url), threading.Event()

    def pump() -> None:
        store.sleep(60_000)
        woken.set()

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    wait_until(lambda: int(other.client.info("clients")["blocked_clients"]) == 1)
    offer(other, "1", window=Window(wait=2_000, max_wait=10_000))
    assert woken.wait(10)
    thread.join(5)
    for one in (store, other):
        one.close()


# --- starting ---
def test_a_store_that_may_evict_open_work_is_refused(store: RedisStore) -> None:
    store.check()
    store.client.config_set("maxmemory-policy", "volatile-lru")
    with pytest.raises(ConfigurationError, match="noeviction"):
        store.check()


def test_another_number_of_partitions_is_refused(store: RedisStore, server: RedisServer) -> None:
    store.check()
    other = RedisStore(server.url, partitions=2)
    with pytest.raises(ConfigurationError, match="1 partitions, not 2"):
        other.check()
    other.close()


# --- a full memory ---
@pytest.fixture
def fill(store: RedisStore) -> Callable[[], None]:
    """Let the server refuse every write that grows."""
    return lambda: store.client.config_set("maxmemory", "1")


def test_a_full_store_takes_nothing_new_and_leaves_nothing_of_it(store: RedisStore, fill: Callable[[], None]) -> None:
    fill()
    with pytest.raises(StoreFull):
        offer(store, "1")
    with pytest.raises(StoreFull):
        store.claim("s:x", "m1", 10_000)
    assert store.client.keys("*") == []


def test_a_full_store_refuses_each_new_record_and_notes_those_that_are_done(
    store: RedisStore, fill: Callable[[], None]
) -> None:
    store.claim("s:old", "m0", 10_000)
    fill()
    answers = store.claim_many(
        [Wanted("s:old", "m0", 10_000), Wanted("s:a", "m1", 10_000), Wanted("s:b", "m2", 10_000)]
    )
    assert [type(answer) for answer in answers] == [Claim, StoreFull, StoreFull]
    settled = [Settling(key, owner, "", b"v", DAY, DAY) for key, owner in (("s:old", "m0"), ("s:a", "m1"))]
    assert store.settle_many(settled) == [b"v", b"v"]


def test_a_full_store_drains(store: RedisStore, fill: Callable[[], None]) -> None:
    store.claim("s:x", "m1", 10_000)
    store.claim("s:y", "m1", 10_000)
    for item in ("1", "2"):
        offer(store, item, "turn/a")
        offer(store, item, "turn/b")
    fill()
    due = store.take_due(10, 5_000, 30_000)
    assert store.handed_over(due.checks, 30_000) == [True, True]
    for check in due.checks:
        assert store.begin(check, "w1", 5_000).verdict == "new"
    leases = [Lease("turn", "turn/a", "w1"), Lease("claim", "s:x", "m1")]
    assert store.renew(leases, 10_000) == [True, True]
    first, second = due.checks
    follow_ups = [FollowUp(key=first.key.replace("turn", "out"), item_id="r", body=b"reply", window=URGENT)]
    assert store.finish(first, "w1", "ok", follow_ups=follow_ups) == "settled"
    assert store.unlock(second.key, second.epoch, "w1")
    store.begin(second, "w2", 5_000)
    assert store.finish(second, "w2", "retry") == "kept"
    store.begin(second, "w3", 5_000)
    assert store.finish(second, "w3", "split") == "kept"
    assert store.finish(run(store, second.key), "w1", "dead") == "settled"
    assert store.forget(second.key) == 2
    assert store.settle("s:x", "m1", "", b"value", DAY, DAY) == b"value"
    assert store.release("s:y", "m1")


def test_a_worker_can_start_on_a_full_store_to_drain_it(store: RedisStore, fill: Callable[[], None]) -> None:
    store.check()
    fill()
    store.check()


def test_a_turn_that_remembers_what_was_said_completes_on_a_full_store(
    store: RedisStore, fill: Callable[[], None]
) -> None:
    store.remember("a", "e1", b"1", 10, DAY)
    fill()
    store.remember("a", "e2", b"2", 10, DAY)
    assert store.recall("a") == [b"1", b"2"]


# --- being away ---
def test_a_server_that_forgot_its_scripts_is_told_them_again(store: RedisStore) -> None:
    offers = [Offer(key="turn/a", item_id=str(n), body=b"", window=URGENT) for n in range(250)]
    offer(store, "0")
    store.client.script_flush()
    assert [a.verdict for a in store.offer(offers)] == ["duplicate"] + ["full"] * 249
    store.client.script_flush()
    assert len(store.take_due(10, 5_000, 30_000).checks) == 1


def test_a_server_that_is_down_is_an_error_and_nothing_is_lost_when_it_is_back(
    store: RedisStore, server: RedisServer
) -> None:
    offer(store, "1")
    check = run(store)
    server.kill()
    for verb in (store.ping, lambda: offer(store, "2"), lambda: store.finish(check, "w1", "ok"), store.check):
        with pytest.raises(StoreUnavailable):
            verb()
    server.start()
    assert offer(store, "1") == "duplicate"
    assert store.begin(check, "w1", 5_000).verdict == "mine"
    assert store.finish(check, "w1", "ok") == "settled"


# --- connections ---
def test_each_of_150_threads_is_answered_while_all_keep_their_connections(store: RedisStore) -> None:
    together, answered = threading.Barrier(150), []

    def work(n: int) -> None:
        answered.append(offer(store, f"{n}", f"turn/{n}"))
        together.wait(30)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answered) == 150
    assert not together.broken

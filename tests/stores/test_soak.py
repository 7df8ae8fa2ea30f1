"""Nothing is left of what is over: after many whole lives a store is as small as it was."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from chatbot.stores.redis import RedisStore
from chatbot.stores.values import ClaimCheck, FollowUp, Offer, Window
from tests.servers import RedisServer
from tests.waiting import wait_until

#: ms. Everything that is kept for a time is kept for this long, so that the end of it can be seen.
SHORT = 100
BATCH = 500
NOW = Window(wait=0, max_wait=0, max_items=5, id_ttl=SHORT)
OUTCOMES: list[Any] = ["ok", "ok", "ok", "retry", "ok", "split", "ok", "dead"]


def lives(store: RedisStore, first: int, count: int) -> None:
    """Bring items through whole lives, with replies, claims and histories; some turns fail, some are bisected or
    buried."""
    for start in range(first, first + count, BATCH):
        offers = [
            Offer(key=f"turn/{n % 97}-{start}", item_id=f"{n}", body=b"x" * 60, window=NOW)
            for n in range(start, start + BATCH)
        ]
        store.offer(offers)
        store.claim(f"c{start}", "o", SHORT)
        store.settle(f"c{start}", "o", "", b"value", SHORT, SHORT)
        store.remember(f"{start}", "e", b"entry", 10, SHORT)
        while checks := store.take_due(200, 5_000, 30_000).checks:
            store.handed_over(checks, 30_000)
            for n, check in enumerate(checks):
                end(store, check, OUTCOMES[n % len(OUTCOMES)])


def end(store: RedisStore, check: ClaimCheck, outcome: Any) -> None:
    begun = store.begin(check, "w", 5_000)
    if begun.fails or len(begun.entries) < 2:  # once failed, or nothing to bisect
        outcome = "dead" if outcome == "dead" else "ok"
    is_turn = check.key.startswith("turn/") and outcome == "ok"
    reply = FollowUp(key=check.key.replace("turn/", "out/"), item_id=f"{check.epoch}", body=b"reply", window=NOW)
    assert store.finish(check, "w", outcome, result_ttl=SHORT, follow_ups=[reply] if is_turn else []) != "refused"


def left(store: RedisStore) -> set[bytes]:
    """Forget who has something buried, and return what there is but the marks of mailboxes and the pumps' token."""
    for grave in store.graves():
        store.forget(grave.key)
    return set(store.client.scan_iter(count=10_000)) - {b"{chatbot:0}m", b"{chatbot:0}wake"}


def allocated(store: RedisStore) -> int:
    store.client.connection_pool.disconnect()  # the buffer of a connection that sent much is not the ledger's
    return int(store.client.memory_stats()["total.allocated"])


@pytest.mark.long
@pytest.mark.timeout(600)
def test_fifty_thousand_lives_leave_nothing(private_redis: Callable[..., RedisServer]) -> None:
    server = private_redis(None, "--slowlog-max-len", "0")
    with closing(RedisStore(server.url)) as store:
        lives(store, 0, 2_000)
        wait_until(lambda: not left(store), 60, f"left: {left(store)}")
        before = allocated(store)
        lives(store, 2_000, 50_000)
        wait_until(lambda: not left(store), 60, f"left: {left(store)}")
        # Tables that have grown shrink in the server's own time.
        wait_until(lambda: allocated(store) < before * 1.1, 60, f"{allocated(store)} bytes, not {before}")

"""Every store survives a random walk of a few seconds."""

from __future__ import annotations

import os
import random
import time
from contextlib import closing

import pytest

from tests.conformance.ledgers import Ledger, MemoryLedger, RedisLedger
from tests.conformance.stores_walk import Walk
from tests.servers import RedisServer

#: What a walk that went everywhere has met.
EVERYWHERE = {
    "opened", "joined", "full", "duplicate", "overflow", "withdrawn", "late", "new", "taken", "busy", "done", "stale",
    "renewed True", "renewed False", "ok: settled", "dead: settled", "retry: kept", "ok: refused", "handed over True",
}  # fmt: skip


def test_random_walk(ledger: Ledger) -> None:
    _walk(ledger)


def test_random_walk_through_eight_partitions(redis_server: RedisServer) -> None:
    with closing(RedisLedger(redis_server.url, partitions=8)) as ledger:
        _walk(ledger)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["redis_cluster", "valkey_cluster"])
def test_random_walk_through_every_node_of_a_cluster(request: pytest.FixtureRequest, kind: str) -> None:
    with closing(RedisLedger(request.getfixturevalue(kind).url, partitions=64)) as ledger:
        _walk(ledger)


def _walk(ledger: Ledger) -> None:
    seed = int(os.environ.get("WALK_SEED") or random.SystemRandom().randrange(1 << 32))
    walk = Walk(ledger, seed)
    try:
        _wander(walk, ledger)
        _drain(walk, ledger)
    except AssertionError as exc:
        exc.add_note(f"WALK_SEED={seed}, met so far: {dict(walk.answers)}")
        raise


def _wander(walk: Walk, ledger: Ledger, seconds: float = 3.0, at_most: float = 150.0) -> None:
    """Go on for some seconds, on a busy machine for as long as it takes to have been everywhere."""
    start = time.monotonic()
    while (passed := time.monotonic() - start) < seconds or EVERYWHERE - set(walk.answers):
        assert passed < at_most, f"never met: {sorted(EVERYWHERE - set(walk.answers))}"
        _pass_time(walk, ledger)
        walk.step()


def _drain(walk: Walk, ledger: Ledger, seconds: float = 30.0) -> None:
    """Without new items, what is open completes."""
    walk.draining = True
    end = time.monotonic() + seconds
    while not walk.drained():
        assert time.monotonic() < end, f"not drained: {walk.expected}"
        _pass_time(walk, ledger)
        walk.step()


def _pass_time(walk: Walk, ledger: Ledger) -> None:
    if isinstance(ledger, MemoryLedger):
        ledger.advance(walk.random.choice([0, 0, 0, 1, 1, 3]))

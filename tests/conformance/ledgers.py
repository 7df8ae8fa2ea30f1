"""The stores that the conformance suite runs against, each with the time it lives in.

Real servers cannot be told the time. `RedisLedger` lets it pass by rewriting every stored time and time to live as if
it had been written earlier: what a script then sees is what it would see later. Tests keep whole seconds between
"not yet" and "now", for real milliseconds pass as well.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
import uvloop

from chatbot.bridge import run
from chatbot.stores.base import Store
from chatbot.stores.memory import ManualClock, MemoryStore
from chatbot.stores.redis import RedisStore
from chatbot.stores.values import (
    Begun,
    ClaimCheck,
    Due,
    Lease,
    Offer,
    Offered,
    Window,
    subject,
)

PUBLISH_LEASE = 5_000
AGAIN = 30_000
LEASE = 5_000
GRACE = 2_500
POLICY: dict[str, Any] = {"wait": 20_000, "max_wait": 100_000}
NAMESPACES = itertools.count()


def window(**policy: Any) -> Window:
    """Return a policy of 20 s and 100 s, or as given."""
    return Window(**{**POLICY, **policy})


class Ledger(ABC):
    """A store, its time, and short words for what most tests do with it. The key is `turn/a` unless given."""

    store: Store

    @abstractmethod
    def advance(self, ms: int) -> None:
        """Let time pass."""

    @abstractmethod
    def now(self) -> int:
        """Return the store's time in ms."""

    @abstractmethod
    def overlook(self, key: str) -> None:
        """Damage the ledger: nothing would ever look at this key again."""

    def immortal(self) -> list[str]:
        """Return the keys that have no time to live."""
        return []

    def close(self) -> None:
        """Leave nothing behind."""
        self.store.close()

    # --- accepting ---
    def offer(self, *ids: str, key: str = "turn/a", mode: Any = "queue", **policy: Any) -> list[str]:
        """Offer items whose bodies are their ids; return the verdicts."""
        return [answer.verdict for answer in self.answers(*ids, key=key, mode=mode, **policy)]

    def answers(self, *ids: str, key: str = "turn/a", mode: Any = "queue", **policy: Any) -> list[Offered]:
        """Offer items whose bodies are their ids; return the answers."""
        to = window(**policy)
        return self.store.offer([Offer(key=key, item_id=i, body=i.encode(), window=to, mode=mode) for i in ids])

    def edit(self, mode: Any, item_id: str, target: str, body: str = "", key: str = "turn/a", **policy: Any) -> str:
        """Amend or withdraw a target; return the verdict."""
        edit = Offer(key=key, item_id=item_id, body=body.encode(), window=window(**policy), mode=mode, target=target)
        return self.store.offer([edit])[0].verdict

    # --- publishing ---
    def look(self, limit: int = 100) -> Due:
        """Do what a pump does first."""
        return self.store.take_due(limit, PUBLISH_LEASE, AGAIN)

    def take(self, key: str = "turn/a") -> ClaimCheck:
        """Look, and return the key's publication."""
        return next(check for check in self.look().checks if check.key == key)

    def published(self, key: str = "turn/a") -> bool:
        """Look, and tell whether that published the key's turn."""
        return any(check.key == key for check in self.look().checks)

    def hand_over(self, check: ClaimCheck) -> bool:
        """Do what a pump does last."""
        return self.store.handed_over([check], AGAIN)[0]

    # --- running ---
    def begin(self, check: ClaimCheck, owner: str = "w1", grace: int = 0) -> Begun:
        """Begin under the usual lease."""
        return self.store.begin(check, owner, LEASE, grace)

    def run(self, owner: str = "w1", key: str = "turn/a") -> ClaimCheck:
        """Take a turn that is due and begin it."""
        check = self.take(key)
        assert self.begin(check, owner).verdict == "new"
        return check

    def renew(self, owner: str = "w1", key: str = "turn/a") -> bool:
        """Renew the lease of a turn."""
        return self.store.renew([Lease("turn", key, owner)], LEASE)[0]

    def finish(self, check: ClaimCheck, owner: str = "w1", outcome: Any = "ok", **more: Any) -> str:
        """End a run."""
        return self.store.finish(check, owner, outcome, **more)

    def run_all(self, outcome: Any = "ok", key: str = "turn/a") -> list[list[str]]:
        """Run what is due, turn by turn; return the bodies of each."""
        turns = []
        while checks := [check for check in self.look().checks if check.key == key]:
            turns.append(bodies(self.begin(checks[0], "runner")))
            assert self.finish(checks[0], "runner", outcome) == "settled"
        return turns


def bodies(begun: Begun) -> list[str]:
    """Return what the items of a turn say."""
    return [entry.body.decode() for entry in begun.entries]


class MemoryLedger(Ledger):
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = self.memory = MemoryStore(clock=self.clock)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms)

    def now(self) -> int:
        return self.clock() // 1_000

    def overlook(self, key: str) -> None:
        self.memory._due.drop(key)


# KEYS: all keys of a namespace; ARGV: how many ms everything is to be older.
AGE = """
local C, ms = redis.call, tonumber(ARGV[1])
local function older(v) v = tonumber(v); return string.format('%.0f', v > 0 and v - ms or v < 0 and v + ms or 0) end
local function hash(key, is_time)
  local all = C('HGETALL', key)
  for i = 1, #all, 2 do if is_time(all[i]) then C('HSET', key, all[i], older(all[i+1])) end end
end
local function zset(key)
  local all = C('ZRANGE', key, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do C('ZADD', key, older(all[i+1]), all[i]) end
end
-- What a stream holds cannot be changed in place.
local function stream(key, left)
  local all = C('XRANGE', key, '-', '+')
  C('DEL', key)
  for _, e in ipairs(all) do
    for i = 1, #e[2], 2 do if e[2][i] == 't' or e[2][i] == 'x' then e[2][i+1] = older(e[2][i+1]) end end
    C('XADD', key, e[1], unpack(e[2]))
  end
  if #all > 0 then C('PEXPIRE', key, left) end
end
local kinds = {
  k = function(key) hash(key, function(f) return ({lease=1, beat=1, suspect=1, hold=1, pub=1})[f] end) end,
  m = function(key) hash(key, function(f) return f:match(':mark$') or f:match(':last$') end) end,
  l = function(key)
    for i, e in ipairs(C('LRANGE', key, 0, -1)) do C('LSET', key, i - 1, older(e:sub(1, 13))..e:sub(14)) end
  end,
  due = zset, e = zset, dead = zset, j = stream,
}
for _, key in ipairs(KEYS) do
  local kind, left = key:match('}(%a+)'), C('PTTL', key) - ms
  if kinds[kind] then kinds[kind](key, left + ms) end
  if left > 0 then C('PEXPIRE', key, left) elseif left > -ms then C('DEL', key) end
end
"""


class AgeingRedisStore(RedisStore):
    """A RedisStore whose stamps and arrivals are told in the time that has been made to pass."""

    passed = 0

    def take_due(self, limit: int, publish_lease: int, again: int) -> Due:
        due = super().take_due(limit, publish_lease, again)
        return Due([replace(check, stamp=check.stamp + self.passed) for check in due.checks], due.next_look)

    def handed_over(self, checks: Sequence[ClaimCheck], again: int) -> list[bool]:
        return super().handed_over([self._then(check) for check in checks], again)

    def begin(self, check: ClaimCheck, owner: str, lease: int, grace: int = 0) -> Begun:
        begun = super().begin(self._then(check), owner, lease, grace)
        return replace(begun, entries=tuple(replace(e, arrived=e.arrived + self.passed) for e in begun.entries))

    def _then(self, check: ClaimCheck) -> ClaimCheck:
        return replace(check, stamp=check.stamp - self.passed)


class RedisLedger(Ledger):
    def __init__(self, url: str, partitions: int | None = None) -> None:
        namespace = f"ledger-{os.getpid()}-{next(NAMESPACES)}"
        self.store = self.redis = AgeingRedisStore(url, namespace=namespace, partitions=partitions)

    def advance(self, ms: int) -> None:
        keys = sorted(self._keys())
        for _, some in itertools.groupby(keys, lambda key: key.partition(b"}")[0]):
            together = list(some)
            self.redis.client.eval(AGE, len(together), *together, ms)
        self.redis.passed += ms

    def now(self) -> int:
        told = self.redis.client.time()  # a cluster's nodes each tell theirs
        seconds, us = next(iter(told.values())) if isinstance(told, dict) else told
        return seconds * 1_000 + us // 1_000 + self.redis.passed

    def overlook(self, key: str) -> None:
        partition = zlib.crc32(subject(key).encode()) % self.redis.partitions
        assert self.redis.client.zrem(f"{{{self.redis.namespace}:{partition}}}due", key) == 1

    def immortal(self) -> list[str]:
        return [key.decode() for key in self._keys() if self.redis.client.pttl(key) == -1]

    def close(self) -> None:
        if keys := self._keys():
            self.redis.client.delete(*keys)
        super().close()

    def _keys(self) -> list[bytes]:
        return list(self.redis.client.scan_iter(f"{{{self.redis.namespace}:*", count=1_000))


class OnLoop:
    """A store whose verbs are called on an event loop, as the web process calls them; but for those of the pump, which
    has none."""

    def __init__(self, store: RedisStore) -> None:
        self._store, self._loop = store, uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name.startswith("_") or not callable(found) or name in ("sleep", "close", "client"):
            return found
        return lambda *args, **more: asyncio.run_coroutine_threadsafe(run(found, *args, **more), self._loop).result(60)

    def close(self) -> None:
        """Close the store, and end the loop once it has heard of that."""
        self._store.close()
        asyncio.run_coroutine_threadsafe(self._heard(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _heard(self) -> None:
        while any(lane._pipe() for lane in self._store._ledger._lanes.values()):
            await asyncio.sleep(0.001)
        await self._loop.shutdown_default_executor()


class LoopLedger(RedisLedger):
    """A RedisLedger whose verbs wait on an event loop."""

    def __init__(self, url: str, partitions: int | None = None) -> None:
        super().__init__(url, partitions)
        self.store = cast(Store, OnLoop(self.redis))


def on_server(fixture: str) -> Callable[[pytest.FixtureRequest], Ledger]:
    """Return what makes a ledger on the server of that fixture."""
    return lambda request: RedisLedger(request.getfixturevalue(fixture).url)


def on_cluster(fixture: str) -> Callable[[pytest.FixtureRequest], Ledger]:
    """Return what makes a ledger on the cluster of that fixture, each on any of its nodes.

    What a test says of one queue or of a limit holds in each partition, so there is one; the walks have more.
    """
    return lambda request: RedisLedger(request.getfixturevalue(fixture).url, partitions=1)


#: A further store is one line here.
LEDGERS: dict[str, Callable[[pytest.FixtureRequest], Ledger]] = {
    "memory": lambda request: MemoryLedger(),
    "redis": on_server("redis_server"),
    "valkey": on_server("valkey_server"),
    "redis-on-loop": lambda request: LoopLedger(request.getfixturevalue("redis_server").url),
}
#: What is tested by `make test-long` only.
CLUSTER_LEDGERS = {
    "redis-cluster": on_cluster("redis_cluster"),
    "valkey-cluster": on_cluster("valkey_cluster"),
    "cluster-on-loop": lambda request: LoopLedger(request.getfixturevalue("redis_cluster").url, partitions=1),
}

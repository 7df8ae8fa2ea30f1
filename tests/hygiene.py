"""Nothing of the ledger is for ever: every key that the store writes has a time to live.

On the same server a Redis broker may have its queues. What waits there waits until somebody takes it: these keys have
no time to live: `<namespace>:<queue>` and what belongs to it (`.msgs`, `.XQ`, `.XQ.msgs`, `.DQ`, `.delayed`, `.held`),
and the workers, `<namespace>:__<what>__`. None of them begins as the ledger's do, with `{<namespace>:<partition>}`.
"""

from __future__ import annotations

from typing import cast

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers import RedisServer

#: KEYS: none; ARGV: a pattern that SCAN knows, a pattern of Lua. Returns the keys that live for ever, and deletes them,
#: so that only the test that left them fails.
IMMORTAL = """
local cursor, found = '0', {}
repeat
  local step = redis.call('SCAN', cursor, 'MATCH', ARGV[1], 'COUNT', 1000)
  cursor = step[1]
  for _, key in ipairs(step[2]) do
    if key:match(ARGV[2]) and redis.call('PTTL', key) == -1 then found[#found + 1] = key end
  end
until cursor == '0'
for _, key in ipairs(found) do redis.call('DEL', key) end
return found
"""


def immortal_keys(server: RedisServer) -> list[str]:
    """Take the ledger's keys that have no time to live from a server. One that a test has stopped has none."""
    with redis.Redis(port=server.port, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
        try:
            if client.info("replication")["role"] == "slave":
                return []  # it has what its master has
            found = cast(list[bytes], client.eval(IMMORTAL, 0, "{*", "^{[^{}]*:%d+}"))
            return sorted(key.decode() for key in found)
        except (redis.ConnectionError, redis.TimeoutError):
            return []

"""Whether a server can be trusted with the ledger, and was begun with the same partitions."""

from __future__ import annotations

from typing import Any, cast

from chatbot.errors import ConfigurationError
from chatbot.stores.values import OPEN


def check_server(info: dict[str, Any], *, clustered: bool) -> None:
    """Raise ConfigurationError unless a server (its INFO) keeps what it is given, and is what the URL says."""
    policy = info.get("maxmemory_policy", "noeviction")
    if int(str(info.get("redis_version", "0")).split(".")[0]) < 7:
        raise ConfigurationError(f"the store runs version {info['redis_version']}: Redis or Valkey 7.0 is needed")
    if policy != "noeviction":
        raise ConfigurationError(
            f"the store may drop accepted messages (maxmemory-policy {policy}): "
            "set `maxmemory-policy noeviction` on the server"
        )
    if info.get("cluster_enabled") and not clustered:
        raise ConfigurationError("the store is a node of a cluster: begin its URL with redis+cluster://")


def check_partitions(client: Any, marks: str, namespace: str, count: int) -> None:
    """Raise ConfigurationError if the store was begun with another number of partitions: keys would be looked for in
    the wrong places. `marks` is the key that remembers it."""
    # A full store refuses HSETNX, and must not keep away the workers that drain it.
    found = client.hget(marks, "partitions") or _note(client, marks, count)
    client.pexpire(marks, OPEN)
    if int(found) != count:
        raise ConfigurationError(
            f"the store {namespace!r} was begun with {int(found)} partitions, not {count}: "
            "keep that number, or use another namespace"
        )


def _note(client: Any, marks: str, count: int) -> bytes:
    with client.pipeline() as pipe:
        pipe.hsetnx(marks, "partitions", str(count))
        pipe.pexpire(marks, OPEN)
        pipe.hget(marks, "partitions")
        return cast(bytes, pipe.execute()[2])

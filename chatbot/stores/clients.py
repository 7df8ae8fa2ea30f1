"""Where the ledger's keys are: on one server, on the master that Sentinels name, or on the masters of a cluster.

- `redis://`, `rediss://` (TLS), `unix://`: one server, as redis-py reads them;
- `redis+cluster://user:password@host:6379,host:6379`, `rediss+cluster://...`, or `redis://host:6379/?cluster=true`:
  a cluster, found through any of these nodes;
- `redis+sentinel://user:password@host:26379,host:26379/service/db`: the master that the Sentinels name, see
  chatbot/stores/sentinels.py.

Any of them may carry options of redis-py as query parameters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import redis
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry

from chatbot.errors import ConfigurationError
from chatbot.stores import sentinels
from chatbot.urls import asks_for_cluster, hosts, reading, split, without_cluster

VARIABLE = "CHATBOT_STORE_URL"
CLUSTERS = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
#: A batch of work is answered in a few ms; a server that needs longer than this is taken to be down. What was idle is
#: not asked for its health first: that takes as long to fail as the command, and is repeated with each repetition.
#: Threads keep a connection each, and redis-py 8 refuses the hundred and first: here the server's `maxclients` decides.
CLIENT_OPTIONS: dict[str, Any] = {
    "socket_timeout": 5, "socket_connect_timeout": 2, "max_connections": 1_000_000,
}  # fmt: skip


class Servers(Protocol):
    """The servers of one ledger."""

    clustered: bool

    @property
    def client(self) -> Any:
        """A client that finds the server of any key itself."""

    def of(self, tag: str) -> Any:
        """Return a client of the server that has the keys of this tag."""

    def every(self) -> list[Any]:
        """Return a client of each server."""

    def look_again(self) -> bool:
        """Find out which server has which keys now; False if that cannot change."""

    def close(self) -> None:
        """Give back connections."""


class OneServer:
    """One server, or whichever the Sentinels call the master when a connection is made."""

    clustered = False

    def __init__(self, client: Any) -> None:
        self.client = client

    def of(self, tag: str) -> Any:
        return self.client

    def every(self) -> list[Any]:
        return [self.client]

    def look_again(self) -> bool:
        return False

    def close(self) -> None:
        self.client.close()
        for sentinel in getattr(getattr(self.client.connection_pool, "sentinel_manager", None), "sentinels", ()):
            sentinel.close()


class ClusterServers:
    """The masters of a cluster. Which has what is asked with the first call, and after an error."""

    clustered = True

    def __init__(self, connect: Callable[[], RedisCluster]) -> None:
        self._connect = connect
        self._lock = threading.Lock()
        self._client: RedisCluster | None = None

    @property
    def client(self) -> RedisCluster:
        with self._lock:
            if self._client is None:
                try:
                    self._client = self._connect()
                except redis.exceptions.RedisClusterException as exc:
                    if "not enabled" in str(exc):
                        raise ConfigurationError(f"{VARIABLE} names a cluster, but finds a single server") from exc
                    raise
            return self._client

    def of(self, tag: str) -> Any:
        return self.client.get_redis_connection(self.client.get_node_from_key(tag))

    def every(self) -> list[Any]:
        return [self.client.get_redis_connection(node) for node in self.client.get_primaries()]

    def look_again(self) -> bool:
        self.client.nodes_manager.initialize()
        return True

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()


def find(url: str, **options: Any) -> Servers:
    """Return the servers that a URL names. Connects to nothing yet; raises ConfigurationError, which hides the URL."""
    with reading(VARIABLE):
        if is_cluster(url):
            return ClusterServers(_cluster(url, options))
        client = _server(url, _ours(options))
        _refuse_strange(client)
        return OneServer(client)


def is_cluster(url: str) -> bool:
    """Say whether a URL names the nodes of a cluster."""
    return split(url).scheme in CLUSTERS or asks_for_cluster(url)


def _server(url: str, options: dict[str, Any]) -> redis.Redis:
    if split(url).scheme == sentinels.SCHEME:
        return sentinels.master(url, VARIABLE, options)
    return redis.Redis.from_url(url, **options)


def _cluster(url: str, options: dict[str, Any]) -> Callable[[], RedisCluster]:
    parts = split(without_cluster(url))
    scheme = CLUSTERS.get(parts.scheme, parts.scheme)
    user, nodes = hosts(parts.netloc, 6379)
    chosen = {**CLIENT_OPTIONS, **options, **parse_url(f"{scheme}://{user}node{parts.path}?{parts.query}")}
    if not nodes or chosen.get("db") or scheme not in CLUSTERS.values():
        raise ConfigurationError(f"{VARIABLE}: a cluster has host:port and database 0: redis+cluster://host:port")
    for name in ("host", "db", "connection_class", "health_check_interval"):
        chosen.pop(name, None)
    if scheme == "rediss":
        chosen["ssl"] = True
    _refuse_strange(redis.Redis(**chosen))
    # A part of the slots may be away: the others are served. What no server has says so itself.
    return lambda: RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in nodes], require_full_coverage=False, **chosen
    )


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    # Every verb may be sent twice, so one repetition at once hides a connection that died while it was idle.
    return {"retry": Retry(ConstantBackoff(0), 1), **CLIENT_OPTIONS, **options}


def _refuse_strange(client: redis.Redis) -> None:
    """Unknown options would come out with the first command only. This connects to nothing."""
    client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)

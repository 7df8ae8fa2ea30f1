"""Where the ledger's keys are: on one server, on the master that Sentinels name, or on the masters of a cluster.

- `redis://`, `rediss://` (TLS), `unix://`: one server, as redis-py reads them;
- `redis+cluster://user:password@host:6379,host:6379`, `rediss+cluster://...`, or `redis://host:6379/?cluster=true`:
  a cluster, found through any of these nodes;
- `redis+sentinel://user:password@host:26379,host:26379/service/db`: the master that the Sentinels name. Options belong
  to the master (`?ssl=true` for TLS), but `sentinel_username` and `sentinel_password` are for the Sentinels.

Any of them may carry options of redis-py as query parameters.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from chatbot.errors import ConfigurationError

SENTINEL = "redis+sentinel"
CLUSTERS = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
YES = ("true", "1", "yes")
#: A batch of work is answered in a few ms; a server that needs longer than this is taken to be down.
#: Threads keep a connection each, and redis-py 8 refuses the hundred and first: here the server's `maxclients` decides.
CLIENT_OPTIONS: dict[str, Any] = {
    "socket_timeout": 5, "socket_connect_timeout": 2, "health_check_interval": 30, "max_connections": 1_000_000,
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
                        raise ConfigurationError(
                            "CHATBOT_STORE_URL names a cluster, but finds a single server"
                        ) from exc
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
    with _reading():
        if is_cluster(url):
            return ClusterServers(_cluster(url, options))
        client = _sentinel(url, _ours(options)) if _scheme(url) == SENTINEL else _server(url, _ours(options))
        _refuse_strange(client)
        return OneServer(client)


def is_cluster(url: str) -> bool:
    """Say whether a URL names the nodes of a cluster."""
    return _scheme(url) in CLUSTERS or dict(parse_qsl(urlsplit(url).query)).get("cluster", "").lower() in YES


def _server(url: str, options: dict[str, Any]) -> redis.Redis:
    return redis.Redis.from_url(url, **options)


def _cluster(url: str, options: dict[str, Any]) -> Callable[[], RedisCluster]:
    parts = urlsplit(url)
    scheme = CLUSTERS.get(parts.scheme, parts.scheme)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "cluster"])
    user, nodes = _nodes(parts.netloc, 6379)
    chosen = {**CLIENT_OPTIONS, **options, **parse_url(f"{scheme}://{user}node{parts.path}?{query}")}
    if not nodes or chosen.get("db") or scheme not in CLUSTERS.values():
        raise ConfigurationError("CHATBOT_STORE_URL: a cluster has host:port and database 0: redis+cluster://host:port")
    for name in ("host", "db", "connection_class", "health_check_interval"):
        chosen.pop(name, None)
    if scheme == "rediss":
        chosen["ssl"] = True
    _refuse_strange(redis.Redis(**chosen))
    # A part of the slots may be away: the others are served. What no server has says so itself.
    return lambda: RedisCluster(
        startup_nodes=[ClusterNode(host, port) for host, port in nodes], require_full_coverage=False, **chosen
    )


def _sentinel(url: str, options: dict[str, Any]) -> redis.Redis:
    parts = urlsplit(url)
    user, nodes = _nodes(parts.netloc, 26379)
    service, _, db = parts.path.strip("/").partition("/")
    if not nodes or not service:
        raise ConfigurationError("CHATBOT_STORE_URL lacks a part: redis+sentinel://host:port,host:port/service/db")
    master = {**options, **parse_url(f"redis://{user}master/{db}?{parts.query}")}
    del master["host"]
    ours = {
        name.removeprefix("sentinel_"): master.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in master
    }
    timeouts = {name: master[name] for name in ("socket_timeout", "socket_connect_timeout")}
    master["ssl"] = str(master.get("ssl", "")).lower() in YES
    sentinels = Sentinel(nodes, sentinel_kwargs={**timeouts, **ours})
    return sentinels.master_for(service, **master)  # type: ignore[no-any-return]


def _ours(options: dict[str, Any]) -> dict[str, Any]:
    # Every verb may be sent twice, so one repetition at once hides a connection that died while it was idle.
    return {"retry": Retry(ConstantBackoff(0), 1), **CLIENT_OPTIONS, **options}


def _nodes(netloc: str, port: int) -> tuple[str, list[tuple[str, int]]]:
    user, at, hosts = netloc.rpartition("@")
    return user + at, [_node(host, port) for host in hosts.split(",") if host]


def _node(text: str, default: int) -> tuple[str, int]:
    # An IPv6 address is full of colons; its port follows the bracket.
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(default)
    return host.strip("[]"), int(port)


def _scheme(url: str) -> str:
    return url.partition("://")[0]


def _refuse_strange(client: redis.Redis) -> None:
    """Unknown options would come out with the first command only. This connects to nothing."""
    client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn a parser's error into a ConfigurationError. The parser's own text may quote a part of the password."""
    try:
        yield
    except (ValueError, TypeError):
        raise ConfigurationError(
            "CHATBOT_STORE_URL cannot be read: check its port and its options, "
            "and percent-encode what is special in its password (/ is %2F, @ is %40, # is %23, : is %3A)"
        ) from None

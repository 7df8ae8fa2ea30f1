"""Clients for a Redis broker: one server, a Sentinel's master, or a cluster; and their errors in Dramatiq's words.

- `redis://`, `rediss://` (TLS), `unix://`: one server, as redis-py reads them; with `?cluster=true` a cluster's node;
- `redis+sentinel://user:password@host:26379,host:26379/service/db`: the master that the Sentinels name, see
  chatbot/stores/sentinels.py.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from dramatiq.errors import ConnectionClosed
from redis.backoff import ExponentialWithJitterBackoff
from redis.cluster import RedisCluster
from redis.retry import Retry

from chatbot.stores import sentinels
from chatbot.urls import asks_for_cluster, reading, split, without_cluster

logger = logging.getLogger(__name__)

VARIABLE = "CHATBOT_BROKER_URL"
#: s.
SOCKET_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2.0
#: Threads that wait keep a connection each, and redis-py 8 refuses the hundred and first: `maxclients` decides.
MAX_CONNECTIONS = 1_000_000
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
#: The server is away, or starts, fails over or is full: it passes.
AWAY = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ClusterError,
    redis.exceptions.RedisClusterException,
    redis.exceptions.TryAgainError,
)
#: The same, where redis-py has no class for it.
FOR_NOW = ("LOADING", "MASTERDOWN", "BUSY", "MISCONF", "NOREPLICAS")


class Backoff:
    """Growing pauses, with jitter: a server that comes back is not met by everybody at once."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """The server has answered."""
        self._pause = FIRST_PAUSE

    def pause(self) -> float:
        """Return how long to wait now, in s."""
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        return pause * random.uniform(0.5, 1)

    def log(self, text: str, *args: Any) -> None:
        """Say what is waited for, once an outage."""
        logger.log(logging.WARNING if self._pause == FIRST_PAUSE else logging.DEBUG, text, *args)


def is_cluster(url: str | None, client: Any = None) -> bool:
    """Say whether a URL names a node of a cluster, or a client is one's."""
    return isinstance(client, RedisCluster) or asks_for_cluster(url or "")


def create_client(url: str | None, **options: Any) -> Any:
    """Return a client for a URL, or for redis-py's own parameters. Only a cluster's connects at once."""
    with reading(VARIABLE):
        if is_cluster(url):
            return _cluster(str(url), options)
        client = _server(url, options)
        # Unknown options would come out with the first command only. This connects to nothing.
        client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
    return client


def tagged(namespace: str) -> str:
    """Return a namespace whose keys a cluster keeps together."""
    return namespace if "{" in namespace else f"{{{namespace}}}"


def socket_timeout(client: Any) -> float | None:
    """Return for how long a client waits for an answer, in s; None if for ever."""
    pool = getattr(client, "connection_pool", None)
    kwargs = client.get_connection_kwargs() if pool is None else pool.connection_kwargs
    return kwargs.get("socket_timeout")  # type: ignore[no-any-return]


def close_client(client: Any) -> None:
    """Close a client's connections, and those to its Sentinels."""
    pool = getattr(client, "connection_pool", None)
    client.close()
    for sentinel in getattr(getattr(pool, "sentinel_manager", None), "sentinels", ()):
        sentinel.close()


@contextmanager
def wrapped(client: Any = None) -> Iterator[None]:
    """Dramatiq reconnects after its own error only. A server that has become a replica is looked up again."""
    try:
        yield
    except (redis.exceptions.RedisError, redis.exceptions.RedisClusterException) as exc:
        if not isinstance(exc, AWAY) and not str(exc).startswith(FOR_NOW):
            raise
        if isinstance(exc, redis.exceptions.ReadOnlyError) and hasattr(client, "connection_pool"):
            client.connection_pool.disconnect(inuse_connections=False)
        raise ConnectionClosed(exc) from None


def _defaults(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "socket_timeout": SOCKET_TIMEOUT,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "health_check_interval": 30,
        "max_connections": MAX_CONNECTIONS,
        "retry": Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), 2),
        **options,
    }


def _server(url: str | None, options: dict[str, Any]) -> redis.Redis:
    if not url:
        return redis.Redis(**_defaults(options))
    if split(url).scheme == sentinels.SCHEME:
        return sentinels.master(url, VARIABLE, _defaults({}), options)
    return redis.Redis.from_url(url, **_defaults(options))


def _cluster(url: str, options: dict[str, Any]) -> Any:
    defaults = _defaults(options)
    if "retry" not in options:
        del defaults["retry"]  # its own covers a fail-over, which takes longer
    with wrapped():
        return RedisCluster.from_url(without_cluster(url), **defaults)

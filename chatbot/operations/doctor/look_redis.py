"""Looking at a Redis or Valkey, as store or as broker. Everything is read, nothing is written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import redis

from chatbot.brokers.redis_clients import create_client, is_cluster, socket_timeout, wrapped
from chatbot.operations.doctor.facts import Server, Unseen
from chatbot.stores.redis import LONGEST_SLEEP, RedisStore
from chatbot.stores.redis_errors import wrapped as wrapped_store
from chatbot.urls import without_cluster


def ledger(store: RedisStore, unseen: list[Unseen]) -> Server:
    """Return what a store's server is. Raises StoreUnavailable."""
    with wrapped_store():
        # Where the store notes how many partitions it was begun with: RedisStore.check.
        noted = store.client.hget(f"{{{store.namespace}:0}}m", "partitions")
        server = store.servers()[0]  # of a cluster, the others are set up as this one
        facts = _facts(server, "CHATBOT_STORE_URL", unseen)
    return Server(
        name="store",
        variable="CHATBOT_STORE_URL",
        ledger=True,
        partitions=(int(noted), store.partitions) if noted else None,
        as_cluster=server is not store.client,
        socket_timeout=socket_timeout(server),
        blocks_for=LONGEST_SLEEP / 1000,
        **facts,
    )


def broker(made: Any, url: str, unseen: list[Unseen]) -> Server:
    """Return what a broker's server is. Raises ConnectionClosed."""
    with wrapped(), _node(url) as client:
        facts = _facts(client, "CHATBOT_BROKER_URL", unseen)
        timeout = socket_timeout(client)
    return Server(
        name="broker",
        variable="CHATBOT_BROKER_URL",
        ledger=False,
        as_cluster=is_cluster(url),
        socket_timeout=timeout,
        blocks_for=0.0 if timeout is None else timeout / 2,  # the broker waits no longer than that
        **facts,
    )


def workers(made: Any, queues: Sequence[str]) -> tuple[int, list[str]]:
    """Return how many workers hold a lease, and which queues none of them takes from. Raises ConnectionClosed."""
    with wrapped():
        told = made.client.time()  # a cluster's nodes each tell theirs
        seconds, micros = max(told.values()) if isinstance(told, dict) else told
        now = seconds * 1000 + micros // 1000
        alive = made.client.zrangebyscore(f"{made.namespace}:__workers__", now, "+inf")
        served = {
            queue.decode()
            for worker in alive
            for queue in made.client.hkeys(f"{made.namespace}:__fetches__.{worker.decode()}")
        }
    return len(alive), [queue for queue in queues if queue not in served]


@contextmanager
def _node(url: str) -> Iterator[Any]:
    """Lend a client of one server: of a cluster it is the node that the URL names."""
    with closing(create_client(without_cluster(url) if is_cluster(url) else url)) as client:
        yield client


def _facts(client: Any, variable: str, unseen: list[Unseen]) -> dict[str, Any]:
    info: dict[str, Any] = client.info()
    software = str(info.get("server_name") or "redis")
    config = _config(client, variable, unseen)
    awaited = config.get("min-replicas-to-write")
    return {
        "run_id": str(info.get("run_id", "")),
        "software": software,
        "version": str(info.get("valkey_version") or info.get("redis_version", "")),
        "policy": str(info.get("maxmemory_policy", "noeviction")),
        "maxmemory": int(info.get("maxmemory", 0)),
        "used": int(info.get("used_memory", 0)),
        "replica": info.get("role") == "slave",
        "replicas": int(info.get("connected_slaves", 0)),
        "awaited_replicas": None if awaited is None else int(awaited),
        "appendonly": bool(info.get("aof_enabled")),
        "fsync": config.get("appendfsync"),
        "writes_fail": "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")),
        "cluster": bool(info.get("cluster_enabled")),
        "ahead": _ahead(client),
    }


def _config(client: Any, variable: str, unseen: list[Unseen]) -> dict[str, str]:
    """Return settings that INFO does not tell. Where servers are rented, CONFIG is often not allowed."""
    try:
        return dict(client.config_get("appendfsync", "min-replicas-to-write"))
    except redis.exceptions.ResponseError as exc:
        why = f"the server of {variable} does not let us ask ({exc}): look at where you rent it"
        unseen.append(Unseen(what="appendfsync and min-replicas-to-write", why=why))
        return {}


def _ahead(client: Any) -> int:
    """Return by how many ms our clock is ahead: nothing that the way of the answer may explain."""
    asked = time.time()
    seconds, micros = client.time()
    answered = time.time()
    ahead = (asked + answered) / 2 - (seconds + micros / 1e6)
    return round(ahead * 1000) if abs(ahead) > answered - asked else 0

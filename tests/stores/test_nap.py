"""A nap ends on time, or at once when there is a token, and leaves no call standing."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import redis

from chatbot.stores.nap import Nap
from tests.servers import RedisServer
from tests.waiting import wait_until


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url, socket_timeout=5) as client:
        yield client


def blocked(client: redis.Redis) -> int:
    return int(client.info("clients")["blocked_clients"])


def test_a_nap_is_not_rounded_up_to_the_servers_tick(client: redis.Redis) -> None:
    client.config_set("hz", 1)  # it ticks once a second
    nap, took = Nap(client, ["a"]), []
    for _ in range(9):
        since = time.monotonic()
        assert nap.sleep(0.05) is False
        took.append(time.monotonic() - since)
    assert 0.05 <= statistics.median(took) < 0.5
    assert blocked(client) == 0


def test_a_token_ends_it_and_is_taken(client: redis.Redis) -> None:
    nap, ended = Nap(client, ["a", "b"]), []
    thread = threading.Thread(target=lambda: ended.append(nap.sleep(30)))
    thread.start()
    wait_until(lambda: blocked(client) == 1)
    client.rpush("b", "token")
    thread.join(5)
    assert ended == [True]
    assert client.llen("b") == 0


def test_a_token_that_nobody_sleeps_for_stays(client: redis.Redis) -> None:
    nap = Nap(client, ["a"])
    assert nap.sleep(0.01) is False
    client.rpush("a", "token")
    assert client.llen("a") == 1
    assert nap.sleep(30) is True


def test_a_server_that_forbids_ending_calls_ends_them_itself(client: redis.Redis, server: RedisServer) -> None:
    client.acl_setuser("plain", enabled=True, passwords=["+p"], commands=["+@all", "-client"], keys=["*"])
    with redis.Redis(host="127.0.0.1", port=server.port, username="plain", password="p") as other:
        assert Nap(other, ["a"]).sleep(0.05) is False


def test_it_goes_on_after_the_server_was_killed(client: redis.Redis, server: RedisServer) -> None:
    nap = Nap(client, ["a"])
    nap.sleep(0.01)
    server.kill()
    with pytest.raises(redis.exceptions.ConnectionError):
        nap.sleep(1)
    server.start()
    assert nap.sleep(0.01) is False


def test_a_server_that_stands_still_is_no_reason_to_sleep_for_ever(client: redis.Redis, server: RedisServer) -> None:
    nap = Nap(client, ["a"])
    nap.sleep(0.01)
    server.pause()
    with pytest.raises(redis.exceptions.TimeoutError):
        nap.sleep(0.1)
    server.resume()

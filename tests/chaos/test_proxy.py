"""The proxy between the service and its servers: it forwards, it cuts, and it holds back."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatbot.bench.proxy import Proxy
from chatbot.bench.servers import RedisServer, free_port
from tests.waiting import wait_until


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port, free_port()) as made:
        yield made


@pytest.fixture
def client(proxy: Proxy) -> Iterator[redis.Redis]:
    with redis.Redis(port=proxy.port, retry=Retry(NoBackoff(), 0), socket_timeout=10) as made:
        yield made


def test_what_goes_in_comes_out(client: redis.Redis) -> None:
    large = b"x" * 3_000_000
    assert client.echo(large) == large


def test_a_cut_ends_every_connection_and_the_next_one_is_made(proxy: Proxy, client: redis.Redis) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"
        assert proxy.cut() == 1
        assert connection.recv(100) == b""
    assert client.ping()


def test_what_is_held_back_arrives_when_it_is_released(proxy: Proxy, client: redis.Redis) -> None:
    client.ping()
    proxy.hold()
    answers: list[object] = []
    asking = threading.Thread(target=lambda: answers.append(client.ping()))
    asking.start()
    with redis.Redis(port=proxy.target) as direct:
        assert direct.ping()
    asking.join(0.2)
    assert answers == []
    proxy.release()
    wait_until(lambda: answers == [True])
    asking.join()


def test_a_server_that_is_down_refuses_through_the_proxy_as_well() -> None:
    with Proxy(free_port(), free_port()) as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        connection.settimeout(10)
        assert connection.recv(100) == b""

"""The servers that tests run on do what their names say."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
import redis

from tests.servers import RabbitmqServer, RedisServer, find_valkey
from tests.waiting import wait_until

NewRedis = Callable[..., RedisServer]


def client(server: RedisServer, patience: float = 30) -> contextlib.closing[redis.Redis]:
    return contextlib.closing(redis.Redis.from_url(server.url, socket_timeout=patience, retry=None))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_what_was_answered_survives_a_kill(kind: str, private_redis: NewRedis) -> None:
    server = private_redis(find_valkey()) if kind == "valkey" else private_redis()
    with client(server) as c:
        c.set("a", "1")
    url = server.url
    server.kill()
    server.start()
    assert server.url == url
    with client(server) as c:
        assert c.get("a") == b"1"


def test_a_paused_server_does_not_answer_until_it_is_resumed(private_redis: NewRedis) -> None:
    server = private_redis()
    with client(server) as c:
        assert c.ping()
    server.pause()
    with client(server, patience=0.5) as c, pytest.raises(redis.TimeoutError):
        c.ping()
    server.resume()
    with client(server) as c:
        assert c.ping()


def test_the_shared_servers_are_different_programs(redis_server: RedisServer, valkey_server: RedisServer) -> None:
    with client(redis_server) as r, client(valkey_server) as v:
        assert "valkey_version" not in r.info("server")
        assert "valkey_version" in v.info("server")


def publish(server: RabbitmqServer, body: bytes) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("kept", durable=True)
    channel.basic_publish("", "kept", body, pika.BasicProperties(delivery_mode=2))
    connection.close()


def fetch(server: RabbitmqServer) -> bytes | None:
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    _, _, body = connection.channel().basic_get("kept", auto_ack=True)
    connection.close()
    return body


@pytest.mark.long
def test_a_confirmed_message_survives_a_kill_of_rabbitmq(private_rabbitmq: Callable[[], RabbitmqServer]) -> None:
    server = private_rabbitmq()
    publish(server, b"hello")
    server.kill()
    server.start()
    assert fetch(server) == b"hello"


@pytest.mark.long
def test_rabbitmq_stops_in_its_own_time_and_comes_back(private_rabbitmq: Callable[[], RabbitmqServer]) -> None:
    server = private_rabbitmq()
    publish(server, b"hello")
    server.restart()
    assert fetch(server) == b"hello"


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys; from tests.servers import RedisServer; s = RedisServer(); s.start();"
        "print(s.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    with parent:
        assert parent.stdout
        server = int(parent.stdout.readline())
        assert alive(server)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not alive(server), message="the server outlived its parent")

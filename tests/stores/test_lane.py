"""A thread keeps its connection while it lives, and no longer; a broken one is replaced."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from dramatiq.middleware import TimeLimitExceeded
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from chatbot.stores.lane import Lane, _Hold
from tests.servers import RedisServer


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    retry = Retry(ConstantBackoff(0), 1)
    with redis.Redis.from_url(server.url, socket_timeout=2.5, retry=retry) as client:
        yield client


def others(client: redis.Redis) -> list[str]:
    mine = str(client.client_id())
    return [one["id"] for one in client.client_list() if one["id"] != mine]


def test_a_thread_asks_on_one_connection(client: redis.Redis) -> None:
    lane = Lane(client)
    assert len({lane("CLIENT", "ID") for _ in range(5)}) == 1


def test_threads_have_connections_of_their_own_and_give_them_back(client: redis.Redis) -> None:
    lane, ids = Lane(client), []
    for _ in range(20):
        thread = threading.Thread(target=lambda: ids.append(lane("CLIENT", "ID")))
        thread.start()
        thread.join()
    del thread
    gc.collect()
    assert len(others(client)) <= 2


def test_a_connection_is_left_without_asking_for_a_lock(client: redis.Redis) -> None:
    """That may happen anywhere: at the end of the process, too, when whoever had the lock is gone."""
    lane = Lane(client)
    lane("PING")
    last = [lane._threads.__dict__.pop("hold")]
    with client.connection_pool._lock:
        leaving = threading.Thread(target=last.clear, daemon=True)
        leaving.start()
        leaving.join(10)
        assert not leaving.is_alive()


def test_a_connection_that_broke_is_replaced_unnoticed(client: redis.Redis) -> None:
    lane = Lane(client)
    first = lane("CLIENT", "ID")
    client.client_kill_filter(_id=first)
    assert lane("CLIENT", "ID") != first


def test_an_error_of_the_server_leaves_the_connection_as_it_is(client: redis.Redis) -> None:
    lane = Lane(client)
    first = lane("CLIENT", "ID")
    with pytest.raises(redis.exceptions.NoScriptError):
        lane("EVALSHA", "0" * 40, 0)
    assert lane("CLIENT", "ID") == first


def test_an_answer_that_comes_too_late_is_nobody_elses(client: redis.Redis, server: RedisServer) -> None:
    with redis.Redis.from_url(server.url, socket_timeout=1, retry=Retry(ConstantBackoff(0), 0)) as impatient:
        lane = Lane(impatient)
        lane("SET", "a", "1")
        server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            lane("INCR", "a")
        server.resume()
        assert lane("PING") in (b"PONG", "PONG", True)


@pytest.mark.parametrize("read", [0, 1])
def test_the_answers_of_who_was_interrupted_are_nobody_elses(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, read: int
) -> None:
    """A worker's time limit may be over at any moment."""
    lane = Lane(client)
    lane("SET", "a", "1")
    answers = iter(range(read))

    def interrupted(self: _Hold) -> object:
        if next(answers, None) is None:
            raise TimeLimitExceeded
        return real(self)

    real = _Hold._answer
    monkeypatch.setattr(_Hold, "_answer", interrupted)
    with pytest.raises(TimeLimitExceeded):
        lane.all([("ECHO", name) for name in "xyz"])
    monkeypatch.setattr(_Hold, "_answer", real)
    assert lane.all([("ECHO", "p"), ("ECHO", "q")]) == [b"p", b"q"]


def test_one_error_of_many_is_its_commands_own(client: redis.Redis) -> None:
    lane = Lane(client)
    first, wrong, last = lane.all([("SET", "a", "1"), ("LPUSH", "a", "1"), ("GET", "a")])
    assert (first, last) == (b"OK", b"1")
    assert isinstance(wrong, redis.exceptions.ResponseError)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_speak_on_its_parents_connection(client: redis.Redis) -> None:
    lane = Lane(client)
    first = lane("CLIENT", "ID")
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writable, str(lane("CLIENT", "ID")).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(readable, 64)) != first
    assert lane("CLIENT", "ID") == first

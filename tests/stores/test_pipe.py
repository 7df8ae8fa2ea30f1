"""On an event loop, a lane asks on a connection that the loop reads: nothing that the server does holds the loop up."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
import uvloop
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from chatbot.bridge import run
from chatbot.stores.lane import Lane
from chatbot.stores.pipe import Pipe
from tests.servers import RedisServer, free_port
from tests.topologies import encrypted
from tests.waiting import wait_until

NewRedis = Callable[..., RedisServer]
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


async def no_pipes() -> None:
    """Return when those of this loop have heard that their client is closed."""
    async with asyncio.timeout(30):
        while any(isinstance(one, Pipe) and one.usable() for one in gc.get_objects()):
            await asyncio.sleep(0.01)


@pytest.fixture(params=LOOPS)
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    """An event loop as the web process has it, and Python's own. Clients are closed before it."""
    with asyncio.Runner(loop_factory=LOOPS[request.param]) as found:
        yield found
        found.run(no_pipes())


@pytest.fixture
def server(private_redis: NewRedis) -> RedisServer:
    return private_redis()


def clients(url: str, **options: Any) -> redis.Redis:
    return redis.Redis.from_url(url, **{"socket_timeout": 5, "retry": Retry(ConstantBackoff(0), 1), **options})


@pytest.fixture
def client(server: RedisServer, runner: asyncio.Runner) -> Iterator[redis.Redis]:
    with clients(server.url) as client:
        yield client


def threads() -> int:
    """Return how many threads asyncio has for what may block."""
    return sum(thread.name.startswith("asyncio_") for thread in threading.enumerate())


def test_calls_ask_on_one_connection_and_in_no_thread(client: redis.Redis, runner: asyncio.Runner) -> None:
    lane = Lane(client)
    first = runner.run(run(lane, "CLIENT", "ID"))
    began = threads()
    assert {runner.run(run(lane, "CLIENT", "ID")) for _ in range(50)} == {first}
    assert threads() == began


def test_many_ask_before_the_first_is_answered_and_each_gets_its_own(
    client: redis.Redis, runner: asyncio.Runner
) -> None:
    lane = Lane(client)

    async def whole() -> list[Any]:
        await run(lane, "PING")
        return await asyncio.gather(*(run(lane.all, [("ECHO", f"{n}"), ("ECHO", f"{n}b")]) for n in range(500)))

    assert runner.run(whole()) == [[b"%d" % n, b"%db" % n] for n in range(500)]


def test_answers_may_come_in_pieces_and_be_of_any_kind(client: redis.Redis, runner: asyncio.Runner) -> None:
    lane, much = Lane(client), b"x" * 3_000_000
    returned = "return {1, false, {ARGV[1]}, redis.status_reply('OK'), ''}"
    asked = [("SET", "much", much), ("GET", "much"), ("GET", "nothing"), ("EVAL", returned, 0, "a")]
    assert runner.run(run(lane.all, asked)) == [b"OK", much, None, [1, None, [b"a"], b"OK", b""]]


def test_one_error_of_many_is_its_commands_own(client: redis.Redis, runner: asyncio.Runner) -> None:
    lane = Lane(client)
    first, wrong, last = runner.run(run(lane.all, [("SET", "a", "1"), ("LPUSH", "a", "1"), ("GET", "a")]))
    assert (first, last) == (b"OK", b"1")
    assert isinstance(wrong, redis.exceptions.ResponseError)
    with pytest.raises(redis.exceptions.NoScriptError):
        runner.run(run(lane, "EVALSHA", "0" * 40, 0))


def test_a_connection_that_broke_is_replaced_unnoticed(client: redis.Redis, runner: asyncio.Runner) -> None:
    lane = Lane(client)
    first = runner.run(run(lane, "CLIENT", "ID"))
    for _ in range(3):
        client.client_kill_filter(_id=first)
        assert runner.run(run(lane, "INCR", "count")) > 0
        (first,) = {runner.run(run(lane, "CLIENT", "ID")), runner.run(run(lane, "CLIENT", "ID"))}


def test_who_waits_when_the_connection_breaks_asks_again(
    client: redis.Redis, server: RedisServer, runner: asyncio.Runner
) -> None:
    lane = Lane(client)

    async def whole() -> list[int]:
        mine = await run(lane, "CLIENT", "ID")
        server.pause()
        asked = [asyncio.create_task(run(lane, "INCR", "count")) for _ in range(20)]
        await asyncio.sleep(0)
        lane._pipe().close()
        server.resume()
        answers = await asyncio.gather(*asked)
        assert await run(lane, "CLIENT", "ID") != mine
        return answers

    # What the server had read counts twice; what it had not, once.
    answers = runner.run(whole())
    assert sorted(set(answers)) == sorted(answers)


def test_a_server_that_is_silent_does_not_hold_the_loop_up(server: RedisServer, runner: asyncio.Runner) -> None:
    with clients(server.url, socket_timeout=1, retry=Retry(ConstantBackoff(0), 0)) as impatient:
        lane = Lane(impatient)

        async def whole() -> int:
            await run(lane, "SET", "a", "1")
            server.pause()
            # More than sockets hold: who waited until it is sent would wait for the server.
            call = asyncio.create_task(run(lane, "SET", "b", b"x" * 30_000_000))
            ticks = 0
            while not call.done():
                await asyncio.sleep(0.01)
                ticks += 1
            server.resume()
            with pytest.raises(redis.exceptions.TimeoutError):
                await call
            return ticks

        assert runner.run(whole()) > 50  # of about 100 a second, two seconds
        wait_until(lambda: runner.run(run(lane, "ECHO", "mine")) == b"mine")


def test_an_answer_that_comes_too_late_is_nobody_elses(server: RedisServer, runner: asyncio.Runner) -> None:
    with clients(server.url, socket_timeout=1, retry=Retry(ConstantBackoff(0), 0)) as impatient:
        lane = Lane(impatient)
        runner.run(run(lane, "SET", "a", "1"))
        server.pause()
        with pytest.raises(redis.exceptions.TimeoutError):
            runner.run(run(lane, "INCR", "a"))
        server.resume()
        assert runner.run(run(lane.all, [("ECHO", "p"), ("ECHO", "q")])) == [b"p", b"q"]


def test_the_answer_to_who_was_cancelled_is_nobody_elses(
    client: redis.Redis, server: RedisServer, runner: asyncio.Runner
) -> None:
    lane = Lane(client)

    async def whole() -> Any:
        await run(lane, "PING")
        server.pause()
        call = asyncio.create_task(run(lane, "ECHO", "late"))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.resume()
        return await run(lane.all, [("ECHO", "p"), ("ECHO", "q")])

    assert runner.run(whole()) == [b"p", b"q"]


def test_a_server_that_is_down_is_an_error_until_it_is_up(server: RedisServer, runner: asyncio.Runner) -> None:
    with clients(server.url) as client:
        lane = Lane(client)
        assert runner.run(run(lane, "PING")) in (b"PONG", "PONG", True)
        server.kill()
        for _ in range(2):
            with pytest.raises(redis.exceptions.ConnectionError):
                runner.run(run(lane, "PING"))
        server.start()
        assert runner.run(run(lane, "ECHO", "up")) == b"up"


@pytest.mark.parametrize("said", [b"garbage\r\n", b"+an answer to no question\r\n"])
def test_what_nobody_understands_ends_the_connection(client: redis.Redis, runner: asyncio.Runner, said: bytes) -> None:
    lane = Lane(client)

    async def whole() -> Any:
        await run(lane, "PING")
        pipe = lane._pipe()
        pipe.data_received(said)
        assert not pipe.usable()
        return await run(lane, "ECHO", "again")

    assert runner.run(whole()) == b"again"


def test_a_replica_is_left_at_once(client: redis.Redis, runner: asyncio.Runner) -> None:
    """Its next connection asks who the master is."""
    lane = Lane(client)
    client.replicaof("127.0.0.1", free_port())
    first = runner.run(run(lane, "CLIENT", "ID"))
    with pytest.raises(redis.exceptions.ReadOnlyError):
        runner.run(run(lane, "SET", "a", "1"))
    assert runner.run(run(lane, "CLIENT", "ID")) != first
    client.replicaof("NO", "ONE")


# --- nothing is left behind ---
def in_use(client: redis.Redis) -> int:
    return len(client.connection_pool._in_use_connections)


def test_callers_that_come_at_once_share_a_connection(client: redis.Redis, runner: asyncio.Runner) -> None:
    lane = Lane(client)

    async def whole() -> None:
        await asyncio.gather(*(run(lane, "PING") for _ in range(20)))
        async with asyncio.timeout(30):
            while in_use(client) > 1:  # those that were made in vain are closed
                await asyncio.sleep(0.01)
        assert len({await run(lane, "CLIENT", "ID") for _ in range(20)}) == 1

    runner.run(whole())
    assert in_use(client) == 1


def test_a_loop_that_has_ended_leaves_no_connection(client: redis.Redis) -> None:
    lane = Lane(client)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of loops that end under a transport
        for _ in range(5):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(run(lane, "PING"))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
        assert in_use(client) == 1
        lane._threads.pipe.abandon()
        assert in_use(client) == 0
        del loop, lane
        gc.collect()


def test_a_connect_that_fails_half_way_leaves_no_connection(
    client: redis.Redis, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: socket.socket) -> socket.socket:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket.socket, "dup", full)
    for _ in range(3):
        with pytest.raises(OSError, match="too many"):
            runner.run(run(Lane(client), "PING"))
    assert in_use(client) == 0


def test_a_connect_that_is_cancelled_leaves_no_connection(
    client: redis.Redis, server: RedisServer, runner: asyncio.Runner
) -> None:
    async def whole() -> None:
        server.pause()
        call = asyncio.create_task(run(Lane(client), "PING"))
        async with asyncio.timeout(30):
            while not in_use(client):
                await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        server.resume()
        async with asyncio.timeout(30):
            while in_use(client):
                await asyncio.sleep(0.01)

    runner.run(whole())


def test_a_pool_that_is_closed_meanwhile_is_a_lost_connection(
    client: redis.Redis, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = client.connection_pool.get_connection

    def closed() -> Any:
        connection = get()
        client.connection_pool.disconnect()
        return connection

    monkeypatch.setattr(client.connection_pool, "get_connection", closed)
    with pytest.raises(redis.exceptions.ConnectionError):
        runner.run(run(Lane(client), "PING"))
    assert in_use(client) == 0


def test_a_question_that_cannot_be_written_is_not_waited_for(
    client: redis.Redis, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its place in the queue would be the next one's answer."""
    lane = Lane(client)

    class Full:
        def __init__(self, transport: Any) -> None:
            self.is_closing, self.abort = transport.is_closing, transport.abort

        def write(self, data: bytes) -> None:
            raise MemoryError

    async def whole() -> Any:
        await run(lane, "PING")
        pipe = lane._pipe()
        pipe._transport = Full(pipe._transport)
        with pytest.raises(MemoryError):
            await run(lane, "ECHO", "lost")
        return await run(lane, "ECHO", "mine")

    assert runner.run(whole()) == b"mine"


def test_each_loop_has_a_connection_of_its_own_and_gives_it_back(server: RedisServer) -> None:
    async def whole(lane: Lane) -> int:
        mine: int = await run(lane, "CLIENT", "ID")
        lane.client.client_kill_filter(_id=mine)
        await no_pipes()
        return mine

    with clients(server.url) as client:
        lane = Lane(client)
        assert len({asyncio.run(whole(lane)) for _ in range(5)}) == 5
        assert client.info()["connected_clients"] <= 2


def test_a_unix_socket_is_read_as_well(private_redis: NewRedis, runner: asyncio.Runner) -> None:
    server = private_redis(None, "--unixsocket", "ours.sock")
    with clients(f"unix://{server.directory}/ours.sock?db=2") as client:
        lane = Lane(client)
        runner.run(run(lane, "SET", "a", "1"))
        assert threads() <= 1
        assert client.get("a") == b"1"


def test_an_encrypted_connection_is_read_in_a_thread(
    private_redis: NewRedis, runner: asyncio.Runner, tmp_path: Path
) -> None:
    url = encrypted(private_redis, tmp_path)
    with clients(url) as client:
        lane = Lane(client)
        assert runner.run(run(lane.all, [("ECHO", "p"), ("ECHO", "q")])) == [b"p", b"q"]


def test_users_and_databases_are_the_pools_own(
    client: redis.Redis, server: RedisServer, runner: asyncio.Runner
) -> None:
    client.acl_setuser("me", enabled=True, passwords=["+s3cret"], commands=["+@all"], keys=["*"])
    with clients(f"redis://me:s3cret@127.0.0.1:{server.port}/3") as mine:
        lane = Lane(mine)
        assert b"user=me" in runner.run(run(lane, "CLIENT", "INFO"))
        assert b"db=3" in runner.run(run(lane, "CLIENT", "INFO"))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_does_not_speak_on_its_parents_connection(client: redis.Redis, runner: asyncio.Runner) -> None:
    lane = Lane(client)
    first = runner.run(run(lane, "CLIENT", "ID"))
    readable, writable = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writable, str(asyncio.new_event_loop().run_until_complete(run(lane, "CLIENT", "ID"))).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(readable, 64)) != first
    assert runner.run(run(lane, "CLIENT", "ID")) == first

"""Whatever dies, every confirmed message runs, and none runs again once it has been acknowledged. On Redis."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.brokers.redis_crew import SCALED, Crew, in_background
from tests.servers import RedisServer, find_valkey
from tests.waiting import wait_until

NewRedis = Callable[..., RedisServer]
LEASE = SCALED["lease"]


@pytest.fixture(params=["redis", pytest.param("valkey", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest, private_redis: NewRedis) -> RedisServer:
    return private_redis(find_valkey()) if request.param == "valkey" else private_redis()


@pytest.fixture
def lease() -> float:
    """After how many seconds others take over; a test may choose."""
    return LEASE


@pytest.fixture
def crew(server: RedisServer, tmp_path: Path, lease: float) -> Iterator[Crew]:
    with Crew(server.url, tmp_path, lease=lease) as crew:
        yield crew


class Load:
    """Somebody who sends all the time, and starts over with the next number when it may have failed."""

    def __init__(self, crew: Crew, delay: int | None = None) -> None:
        self.number = 0
        self._crew, self._delay = crew, delay
        self._stop = threading.Event()
        self._thread = in_background(self._run)

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            self.number += 1
            with suppress(Exception):
                self._crew.send(self.number, ms=5, delay=self._delay)

    def more(self, count: int) -> None:
        """Wait until so many more were sent."""
        before = len(self._crew.confirmed)
        wait_until(lambda: len(self._crew.confirmed) >= before + count, 20)

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def load(crew: Crew) -> Iterator[Load]:
    load = Load(crew)
    yield load
    load.stop()


def assert_all_done(crew: Crew, timeout: float = 20) -> None:
    wait_until(crew.done, timeout)
    assert crew.journal.run_after_acknowledgement() == set()


# --- the server ---
def test_a_server_that_is_killed_loses_nothing(server: RedisServer, crew: Crew, load: Load) -> None:
    crew.hire()
    crew.hire()
    for _ in range(2):
        load.more(50)
        server.kill()
        server.start()
    load.more(50)
    load.stop()
    assert_all_done(crew)


@pytest.mark.parametrize("outage", [2.5, pytest.param(20.0, marks=pytest.mark.long)])
def test_delays_outlive_an_outage_and_end_at_their_time(server: RedisServer, crew: Crew, outage: float) -> None:
    crew.hire()
    due = time.time() + outage + 1.5
    for number in range(20):
        crew.send(number, delay=int(1000 * (due - time.time())))
    for number in range(20, 40):  # due during the outage
        crew.send(number, delay=int(1000 * (due - 2 - time.time())))
    server.kill()
    time.sleep(outage)
    server.start()
    wait_until(lambda: set(range(20, 40)) <= set(crew.journal.numbers("done")))
    early = set(range(20)) & set(crew.journal.numbers("started"))
    assert not early or time.time() >= due
    assert_all_done(crew)
    assert crew.journal.repeated() == []


def test_a_server_that_hangs_loses_nothing(server: RedisServer, crew: Crew, load: Load) -> None:
    crew.hire()
    crew.hire()
    load.more(20)
    server.pause()
    time.sleep(3 * LEASE)
    server.resume()
    load.more(50)
    load.stop()
    assert_all_done(crew)


@pytest.mark.parametrize("lease", [7.0])  # nobody takes over from a worker that was only slow
def test_connections_that_break_lose_and_repeat_nothing(server: RedisServer, crew: Crew, load: Load) -> None:
    crew.hire()
    crew.hire()
    with closing(redis.Redis.from_url(server.url)) as client:
        for _ in range(10):
            load.more(10)
            client.client_kill_filter(_type="normal", skipme=True)
    load.stop()
    assert_all_done(crew)
    assert crew.journal.repeated() == []


def test_a_server_that_forgets_everything_is_no_obstacle(server: RedisServer, crew: Crew) -> None:
    crew.hire()
    crew.send(1)
    wait_until(crew.done)
    server.flush()
    crew.send(2)
    crew.send(3, delay=100)
    assert_all_done(crew)


# --- workers ---
MESSAGES = range(24)


def hold(crew: Crew, process: Any) -> None:
    """Let a worker have four messages in its threads and some in its memory, and leave as many for another one."""
    for number in MESSAGES:
        crew.send(number, ms=1_000)
    held = f"dramatiq:__acks__.{crew.broker_id(process)}.work"
    wait_until(lambda: crew.busy(process, 4) and crew.broker.client.scard(held) >= 6)


def test_what_a_killed_worker_held_is_run_by_another_within_a_lease(crew: Crew) -> None:
    first, survivor = crew.hire(), crew.hire()
    hold(crew, first)
    os.kill(first.pid, signal.SIGKILL)
    killed = time.monotonic()
    abandoned = {n for what, n, pid in crew.journal.lines() if what == "started"} - set(crew.journal.numbers("done"))
    wait_until(lambda: {n for what, n, pid in crew.journal.lines() if pid == survivor.pid} >= abandoned, 10)
    assert time.monotonic() - killed < 10 * LEASE
    assert_all_done(crew)


def test_the_first_worker_after_all_have_died_takes_over(crew: Crew) -> None:
    process = crew.hire()
    hold(crew, process)
    os.kill(process.pid, signal.SIGKILL)
    crew.hire()
    assert_all_done(crew)


def test_a_worker_that_was_paused_runs_and_acknowledges_nothing_that_others_took(crew: Crew) -> None:
    paused, _ = crew.hire(), crew.hire()
    hold(crew, paused)
    os.kill(paused.pid, signal.SIGSTOP)
    wait_until(lambda: set(MESSAGES) <= set(crew.journal.numbers("acknowledged")), 15)
    before = len(crew.journal.lines())
    os.kill(paused.pid, signal.SIGCONT)
    crew.send(100)
    assert_all_done(crew)
    wait_until(lambda: not crew.busy(paused))
    crew.send(101)
    assert_all_done(crew)
    wait_until(lambda: 101 in crew.journal.numbers("acknowledged"))  # written down after the server's answer
    late = crew.journal.lines()[before:]
    # It ends what it was in the middle of, and begins nothing of it.
    assert {n for what, n, _ in late if what == "started"} == {100, 101}
    assert {n for what, n, _ in late if what == "acknowledged"} == {100, 101}


def test_a_paused_worker_whose_messages_nobody_took_goes_on_with_them(crew: Crew) -> None:
    process = crew.hire()
    hold(crew, process)
    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(2 * LEASE)
    os.kill(process.pid, signal.SIGCONT)
    assert_all_done(crew)
    assert crew.journal.repeated() == []


def test_workers_that_come_and_go_lose_nothing(crew: Crew, load: Load) -> None:
    crew.hire()
    for _ in range(3):
        process = crew.hire()
        load.more(30)
        os.kill(process.pid, signal.SIGKILL)
    load.stop()
    assert_all_done(crew)


@pytest.mark.long
def test_with_the_defaults_work_is_resumed_within_ten_seconds(server: RedisServer, tmp_path: Path) -> None:
    with Crew(server.url, tmp_path, heartbeat=2.0, lease=7.0) as crew:
        first, _ = crew.hire(), crew.hire()
        hold(crew, first)
        os.kill(first.pid, signal.SIGKILL)
        killed = time.monotonic()
        assert_all_done(crew, 20)
        assert time.monotonic() - killed < 10 + 3 * 1  # and the time that some rounds of messages take

"""A scheduler as a process: it publishes, and it stops within seconds, whatever it waits for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chatbot.errors import ConfigurationError
from chatbot.scheduling import run
from chatbot.scheduling.process import zone
from tests.scheduling.hosts import Cluster
from tests.servers import RedisServer
from tests.waiting import wait_until

PROGRAM = textwrap.dedent("""
    import logging, sys, time
    from chatbot.scheduling import run, process, scheduler
    from tests.scheduling.hosts import NOON, Cluster
    logging.basicConfig(level="INFO", stream=sys.stdout)
    cluster = Cluster(*sys.argv[1:3])
    cluster.name, cluster.queue = sys.argv[3:5]
    host = cluster.host()
    host.scheduler.step()
    # The real clock, put so that a tick comes in half a second.
    ahead = NOON + 59.5 - time.time()
    class Soon(scheduler.Scheduler):
        def __init__(self, *args, **options):
            super().__init__(*args, now=lambda: time.time() + ahead, **options)
    process.Scheduler = Soon
    run(host.broker, host.store, timezone="Europe/Paris")
    print("stopped", flush=True)
""")


@contextmanager
def process(cluster: Cluster, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    names = [cluster.store_url, cluster.broker_url, cluster.name, cluster.queue]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with log.open("wb") as out:
        child = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *names], env=environment, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_process_publishes_and_stops_when_told(cluster: Cluster, tmp_path: Path, signum: int) -> None:
    log = tmp_path / "log"
    with process(cluster, log) as child:
        wait_until(lambda: "tick 2026-01-31T12:01Z enqueued" in log.read_text(), 20)
        told = time.monotonic()
        child.send_signal(signum)
        assert child.wait(10) == 0, log.read_text()
        assert time.monotonic() - told < 5
    assert "tidy is scheduled at * * * * * (Europe/Paris)" in log.read_text()
    assert "stopped" in log.read_text()


def test_a_process_that_waits_for_a_frozen_broker_stops_as_quickly(
    private_redis: Callable[..., RedisServer],
    redis_server: RedisServer,
    clusters: Callable[[str, str], Cluster],
    tmp_path: Path,
) -> None:
    broker, log = private_redis(), tmp_path / "log"
    cluster = clusters(redis_server.url, broker.url)
    store = cluster.host().store
    with process(cluster, log) as child:
        wait_until(lambda: "is scheduled" in log.read_text(), 20)
        broker.pause()
        claimed = f"{{{cluster.name}:0}}c:tick/tidy@2026-01-31T12:01Z"
        wait_until(lambda: store.client.exists(claimed), message="the tick has not come")
        told = time.monotonic()
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0, log.read_text()
        assert time.monotonic() - told < 5
        broker.resume()


def test_a_time_zone_that_does_not_exist_is_refused(cluster: Cluster) -> None:
    host = cluster.host()
    with pytest.raises(ConfigurationError, match="Europe/Pari"):
        run(host.broker, host.store, timezone="Europe/Pari")


@pytest.mark.parametrize("name", ["", "/etc/passwd", "..", "Europe", "no such"])
def test_what_is_no_name_of_a_zone_is_refused_too(name: str) -> None:
    with pytest.raises(ConfigurationError, match="time zone"):
        zone(name)

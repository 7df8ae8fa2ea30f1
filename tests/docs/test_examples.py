"""The examples work: a real `dramatiq` command works on what a real producer sends, on both brokers."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.docs.markdown import DOCS
from tests.servers import RabbitmqServer
from tests.waiting import wait_until

EXAMPLES = DOCS / "examples"
DONE = ["charged o1 500", "indexed Emma Persuasion", "reported monday"]
#: A line that is there because of a guard.
GUARDING = re.compile(r"chatbot|guard|Suppressed|Idempotent|Debounced|Deduplicated")


@pytest.fixture(params=["redis", "rabbitmq"])
def urls(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An empty store, and an empty broker of either kind: the queues have their usual names."""
    store = request.getfixturevalue("redis_server")
    store.flush()
    if request.param == "redis":
        yield {"STORE_URL": store.url, "BROKER_URL": store.url}
        return
    server: RabbitmqServer = request.getfixturevalue("rabbitmq_server")
    vhost = f"{server.management_url}/api/vhosts/examples"
    httpx.put(vhost).raise_for_status()
    yield {"STORE_URL": store.url, "BROKER_URL": f"{server.url}examples"}
    httpx.delete(vhost).raise_for_status()


@contextmanager
def working(
    module: str, urls: dict[str, str], log: Path, directory: Path = EXAMPLES
) -> Iterator[subprocess.Popen[bytes]]:
    """Run Dramatiq's own command, in a process group of its own; what the actors print goes to the log."""
    argv = [sys.executable, "-m", "dramatiq", module, "--processes", "1", "--threads", "1"]
    with log.open("ab") as out:
        worker = subprocess.Popen(
            argv, cwd=directory, env=os.environ | urls, stdout=out, stderr=out, start_new_session=True
        )
        try:
            yield worker
        finally:
            worker.terminate()
            worker.wait(30)


def produce(module: str, urls: dict[str, str], more: str = "") -> str:
    """Send what the example sends, and more; return what that printed."""
    return python(f"import runpy; example = runpy.run_module({module!r}, run_name='__main__'); {more}", urls)


def python(program: str, urls: dict[str, str]) -> str:
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, cwd=EXAMPLES, env=os.environ | urls, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def effects(log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if re.match(r"charged|indexed|reported", line)]


@pytest.mark.parametrize(
    ("module", "urls"),
    [
        ("guarded", "redis"),
        ("guarded", "rabbitmq"),
        ("own_brokers", "redis"),
        pytest.param("own_brokers", "rabbitmq", marks=pytest.mark.long),
    ],
    indirect=["urls"],
)
def test_each_guarantee_holds(module: str, urls: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    produce(module, urls)
    with working(module, urls, log):
        wait_until(lambda: len(effects(log)) >= len(DONE), 30, f"only {effects(log)} of {DONE}")
        # One thread works in order: when this last call is done, so is what was sent before it.
        produce(module, urls, "example['report'].send('tuesday')")
        wait_until(lambda: "reported tuesday" in effects(log), 30)
    assert sorted(effects(log)) == [*DONE, "reported tuesday"], log.read_text()


SLOW = """
import time
from pathlib import Path
from guarded import Debounced, Suppressed, broker, dramatiq

@dramatiq.actor(debounced=Debounced(key="all", wait=0, max_wait=0))
def burst(items: list[str]) -> None:
    print("burst", *items, flush=True)
    while not Path("go").exists():
        time.sleep(0.02)
    print("ended", *items, flush=True)
"""


@pytest.mark.long
def test_a_burst_whose_worker_is_killed_is_run_by_another_one(urls: dict[str, str], tmp_path: Path) -> None:
    log, urls = tmp_path / "log", urls | {"PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(tmp_path)])}
    (tmp_path / "slow.py").write_text(SLOW)
    log.touch()
    python("import contextlib, slow\nwith contextlib.suppress(slow.Suppressed): slow.burst.send('x')", urls)
    with working("slow", urls, log, tmp_path) as worker:
        wait_until(lambda: "burst x" in log.read_text(), 30)
        os.killpg(worker.pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    with working("slow", urls, log, tmp_path):
        wait_until(lambda: "ended x" in log.read_text(), 60)
    assert log.read_text().count("ended x") == 1


def test_a_suppressed_call_says_its_outcome_on_our_brokers(urls: dict[str, str]) -> None:
    first, second = produce("own_brokers", urls).splitlines()
    assert first == "enqueued enqueued absorbed absorbed"
    assert second == "enqueued duplicate duplicate duplicate"


def test_guarding_takes_15_lines() -> None:
    lines = (EXAMPLES / "guarded.py").read_text().partition('"""\n\n')[2].splitlines()
    guarding = [line for line in lines if GUARDING.search(line)]
    assert 0 < len(guarding) <= 15, guarding

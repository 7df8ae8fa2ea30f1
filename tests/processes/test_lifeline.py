"""A process ends with the one that started it, whichever way the kernel offers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.processes import lifeline, tether
from tests.processes.running import alive, children, command, gone
from tests.waiting import wait_until

WATCHING = (
    "from chatbot.processes import lifeline; lifeline.watch(); import time; print('up', flush=True); time.sleep(600)"
)


def test_a_watching_process_ends_when_the_pipe_is_closed() -> None:
    reading, writing = os.pipe()
    environment = {**os.environ, lifeline.VARIABLE: str(reading)}
    with subprocess.Popen(
        [sys.executable, "-c", WATCHING], stdout=subprocess.PIPE, env=environment, pass_fds=[reading]
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"up\n"
        assert process.poll() is None
        os.close(reading)
        os.close(writing)
        assert process.wait(10) == 1


@pytest.mark.parametrize("value", [None, "", "1000", "x", "0"])
def test_a_process_without_a_supervisor_goes_on(value: str | None) -> None:
    environment = {k: v for k, v in os.environ.items() if k != lifeline.VARIABLE}
    if value is not None:
        environment[lifeline.VARIABLE] = value
    code = "from chatbot.processes import lifeline; lifeline.watch(); import threading; print(threading.active_count())"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=True
    )
    assert done.stdout == b"1\n"


def parent_of_a_tethered_sleep(bind: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a process that starts a `sleep` bound to it by one function of `tether`."""
    bound = (
        "import os, sys; from chatbot.processes import tether;"
        f"tether.{bind}(int(sys.argv[1]), 9); os.execvp('sleep', ['sleep', '600'])"
    )
    parent = (
        "import os, subprocess, sys, time;"
        f"p = subprocess.Popen([sys.executable, '-c', {bound!r}, str(os.getpid())]);"
        f"open({str(log)!r}, 'w').write(str(p.pid) + '\\n'); p.wait(); time.sleep(600)"
    )
    return subprocess.Popen([sys.executable, "-c", parent])


BINDS = ["watch_from_aside", *(["die_with_parent"] if sys.platform == "linux" else [])]


@pytest.mark.parametrize("bind", BINDS)
def test_a_tethered_command_dies_with_its_parent(bind: str, tmp_path: Path) -> None:
    log = tmp_path / "pid"
    with parent_of_a_tethered_sleep(bind, log) as parent:
        sleeper = int(wait_until(lambda: log.exists() and log.read_text().strip()))
        wait_until(lambda: command(sleeper) == "sleep 600")
        family = [sleeper, *children(sleeper)]
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda: gone(*family))


def test_the_watcher_from_aside_goes_with_the_command_that_it_watches(tmp_path: Path) -> None:
    log = tmp_path / "pid"
    with parent_of_a_tethered_sleep("watch_from_aside", log) as parent:
        sleeper = int(wait_until(lambda: log.exists() and log.read_text().strip()))
        wait_until(lambda: command(sleeper) == "sleep 600")
        (watcher,) = children(sleeper)
        os.kill(sleeper, signal.SIGTERM)
        wait_until(lambda: gone(watcher))
        assert alive(parent.pid)
        parent.kill()


def test_a_tethered_command_is_the_process_that_was_started() -> None:
    with subprocess.Popen(tether.tethered(["sh", "-c", "echo $$"]), stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert int(process.stdout.read()) == process.pid


def test_a_command_that_does_not_exist_is_named() -> None:
    done = subprocess.run(tether.tethered(["no-such-command"]), capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "no-such-command: No such file or directory\n"

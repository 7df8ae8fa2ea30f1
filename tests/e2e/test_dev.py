"""`chatbot dev`: the whole service in the foreground, which starts, stops, and dies as one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.running import Running, alive, children, command, gone
from tests.servers import free_port
from tests.waiting import wait_until

Dev = Callable[..., Running]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def dev(folder: Path) -> Iterator[Dev]:
    """Runs `chatbot dev` in a folder of its own, and kills it in the end."""
    with ExitStack() as stack:

        def start(*arguments: str, **settings: str) -> Running:
            environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
            log = folder / f"dev-{time.monotonic_ns()}.log"
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "chatbot", "dev", *arguments],
                    cwd=folder,
                    env={**environment, "CHATBOT_DEBOUNCE_WAIT_MS": "300", **settings},
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                )
            stack.callback(_end, process)
            return Running(process, log)

        yield start


def _end(process: subprocess.Popen[bytes]) -> None:
    below = family(process.pid)
    process.kill()
    process.wait()
    wait_until(lambda: gone(*below))


def family(pid: int) -> list[int]:
    """Return the pids of all processes below one, at any depth."""
    return [p for child in children(pid) for p in (child, *family(child))]


def simulate(folder: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chatbot", "simulate", "--url", f"http://127.0.0.1:{port}", "--conversations", "2"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=90,
    )


def test_a_burst_becomes_one_reply_and_the_next_start_goes_on(dev: Dev, folder: Path) -> None:
    port = free_port()
    for _ in range(2):
        running = dev("--port", str(port))
        running.says("chatbot is on")
        played = simulate(folder, port)
        assert played.returncode == 0, played.stdout + played.stderr + running.text()
        assert 'chatbot_turns_total{actor="process_turn",outcome="settled"}' in _metrics(port), "the worker's, too"
        running.says(r"^worker +\| \d\d:\d\d:\d\d \[info +\] turn settled")
        running.process.send_signal(signal.SIGINT)
        assert running.ends(within=6) == 0
    assert "Traceback" not in running.text()


def test_ctrl_c_ends_every_process_within_five_seconds(dev: Dev) -> None:
    running = dev("--port", str(free_port()))
    running.says("chatbot is on")
    below = family(running.process.pid)
    assert len(below) >= 3
    running.process.send_signal(signal.SIGINT)
    assert running.ends(within=5.5) == 0
    assert gone(*below)


def test_kill_9_of_the_supervisor_leaves_no_process_at_any_depth(dev: Dev) -> None:
    running = dev("--port", str(free_port()))
    running.says("chatbot is on")
    below = family(running.process.pid)
    running.process.kill()
    wait_until(lambda: gone(*below))


@pytest.mark.long
@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_role_that_dies_is_started_again_and_the_service_goes_on(dev: Dev, folder: Path, role: str) -> None:
    port = free_port()
    running = dev("--port", str(port))
    running.says("chatbot is on")
    (victim,) = (pid for pid in children(running.process.pid) if f"chatbot {role} " in command(pid))
    os.kill(victim, signal.SIGKILL)
    running.says(rf"{role} was killed.*starting it again|{role}.*SIGKILL.*starting it again|{role}.*starting it again")
    wait_until(lambda: any(f"chatbot {role} " in command(pid) for pid in children(running.process.pid)))
    assert not alive(victim)
    wait_until(lambda: _healthy(port))
    played = simulate(folder, port)
    assert played.returncode == 0, played.stdout + played.stderr + running.text()


@pytest.mark.long
def test_a_second_start_on_the_same_data_says_so_in_one_line(dev: Dev) -> None:
    first = dev("--port", str(free_port()))
    first.says("chatbot is on")
    second = dev("--port", str(free_port()))
    assert second.ends() == 2
    assert "is in use by a running chatbot" in second.text()
    assert len(second.text().splitlines()) == 1


def test_a_port_in_use_is_said_in_one_line(dev: Dev) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running = dev("--port", str(taken.getsockname()[1]))
        assert running.ends() == 2
    assert "is in use" in running.text()
    assert len(running.text().splitlines()) == 1


def test_a_bad_setting_stops_everything_with_its_line(dev: Dev) -> None:
    running = dev("--port", str(free_port()), CHATBOT_RESPONDER="no_such_module:reply")
    assert running.ends() == 2
    assert "there is no module 'no_such_module'" in running.text()
    assert "Traceback" not in running.text()


@pytest.mark.long
def test_a_broker_of_ones_own_is_respected(dev: Dev, folder: Path, rabbitmq_server) -> None:
    port = free_port()
    running = dev("--port", str(port), CHATBOT_BROKER_URL=rabbitmq_server.url)
    running.says("chatbot is on")
    played = simulate(folder, port)
    assert played.returncode == 0, played.stdout + played.stderr + running.text()


def _metrics(port: int) -> str:
    import httpx

    return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text


def _healthy(port: int) -> bool:
    import httpx

    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=2).status_code == 200
    return False

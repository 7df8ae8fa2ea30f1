"""Where the commands of a page run: a copy of the project for it alone, beside a service that all pages share."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from chatbot.processes.tether import tethered
from tests.docs.markdown import ROOT
from tests.waiting import wait_until

#: Of the project what commands of the pages read. Files that they write are the place's own.
PARTS = ("chatbot", "docker", "docs", "tests", "compose.redis.yml", "compose.rabbitmq.yml")
#: Bursts end soon, so that pages do not take minutes, but not while a busy machine still plays them.
SOON = {"CHATBOT_DEBOUNCE_WAIT_MS": "1500", "CHATBOT_DEBOUNCE_MAX_WAIT_MS": "5000"}
#: What is in .venv/bin. What the pages call 127.0.0.1:8000, which some commands need not be told, is elsewhere here.
COMMANDS = {
    "python": '#!/bin/sh\nexec "{}" "$@"\n',
    "chatbot": """#!/bin/sh
case "$1" in simulate | verify) command=$1; shift; set -- "$command" --url "$CHATBOT_AT" "$@" ;; esac
exec "{}" "$@"
""",
}
#: What a process says when it is up; those of `chatbot dev` come up in any order.
UP = {
    "web": ("Application startup complete",),
    "worker": ("working on",),
    "scheduler": ("is scheduled at",),
    "dev": ("chatbot is on", "Application startup complete", "working on", "is scheduled at"),
}


class Place:
    """A directory that looks like the project's to who works in it. `state`: that of the running `chatbot dev`."""

    def __init__(self, directory: Path, port: int, state: Path, stands_for: Mapping[str, str]) -> None:
        self.directory, self.port = directory, port
        self._stands_for = stands_for
        for part in PARTS:
            (directory / part).symlink_to(ROOT / part)
        (directory / ".state").symlink_to(state)
        commands = directory / ".venv" / "bin"
        commands.mkdir(parents=True)
        for name, script in COMMANDS.items():
            (commands / name).write_text(script.format(Path(sys.executable).with_name(name)))
            (commands / name).chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        """Return what a reader's shell has, with the commands of the virtual environment."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
        path = os.pathsep.join([str(self.directory / ".venv" / "bin"), plain["PATH"]])
        return {**plain, **SOON, "PATH": path, "CHATBOT_AT": f"http://127.0.0.1:{self.port}"}

    def run(self, script: str) -> str:
        """Run a script, which fails with its first command that does; return what it printed."""
        done = subprocess.run(
            ["sh", "-eu", "-c", self._here(script)],
            cwd=self.directory, env=self.environment, capture_output=True, text=True, timeout=90,
        )  # fmt: skip
        assert done.returncode == 0, f"{script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout

    @contextmanager
    def serving(self, role: str, command: str, settings: Mapping[str, str]) -> Iterator[None]:
        """Run a command that does not end by itself, for as long as the page goes on."""
        command = self._here(re.sub(r"(?<![\w/.])\.venv/bin/(?=chatbot )", "", command))
        settings = {name: self._here(value) for name, value in settings.items()}
        log = self.directory / f"{role}.log"
        with (
            log.open("wb") as out,
            _process(
                ["sh", "-c", f"exec env {command}"], self.directory, self.environment | settings, out.fileno()
            ) as process,
        ):
            _up(role, process, log)
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, f"{command}\n{log.read_text()}"

    def move(self, port: int, state: str) -> None:
        """Let the commands that follow mean another `chatbot dev`."""
        self.port = port
        (self.directory / ".state").unlink()
        (self.directory / ".state").symlink_to(self.directory / state)

    def _here(self, text: str) -> str:
        for theirs, ours in {"127.0.0.1:8000": f"127.0.0.1:{self.port}", **self._stands_for}.items():
            text = text.replace(theirs, ours)
        return text


@contextmanager
def _process(
    argv: list[str], directory: Path, environment: dict[str, str], out: int
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        tethered(argv), cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def dev(directory: Path, port: int) -> Iterator[Path]:
    """Run `chatbot dev` as `make run` does; give its state directory."""
    state, log = directory / "state", directory / "dev.log"
    argv = [sys.executable, "-m", "chatbot", "dev", "--port", str(port), "--state", str(state)]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    with log.open("wb") as out, _process(argv, directory, plain | SOON, out.fileno()) as process:
        _up("dev", process, log)
        wait_until(lambda: _answers(port), 30, "chatbot dev is not ready")
        yield state
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def _up(role: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when a role says that it is up. Raises AssertionError, with its log, if it ends before."""

    def says_so() -> bool:
        return all(said in log.read_text() for said in UP[role])

    wait_until(lambda: says_so() or process.poll() is not None, 30, f"chatbot {role} does not start")
    assert says_so(), log.read_text()


def _answers(port: int) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=1).status_code == 200
    return False

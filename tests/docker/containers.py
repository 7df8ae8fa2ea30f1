"""A deployment's containers as plain processes: the very commands, environments and health checks of a compose file.

What differs is what a container has and a process has not: its own host name, ports and /run/secrets. Those are
substituted wherever they stand in a resolved service, and nothing else is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from chatbot.processes.tether import tethered
from tests.docker.compose import Tree, mounts, seconds
from tests.servers import free_port

#: What the image starts before a command: ENTRYPOINT of docker/Dockerfile.
ENTRYPOINT = [sys.executable, "-m", "chatbot"]
#: The ports that ours listen on, each in its container.
PORTS = ("8000", "9100")


@dataclass(kw_only=True)
class Container:
    """One copy of a service. `where` are substitutions of its own, and of all."""

    name: str
    service: Tree
    where: Mapping[str, str]
    directory: Path
    argv: list[str] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None

    def inside(self, text: str) -> str:
        """Return a text as it is where we run it."""
        for theirs, ours in self.where.items():
            text = text.replace(theirs, ours)
        return text

    def environment(self) -> dict[str, str]:
        """Return what a container sees: its image's, its file's, its own."""
        file = self.service.get("env_file")
        given = {**(dotenv_values(self.inside(file)) if file else {}), **self.service.get("environment", {})}
        return {
            "PATH": os.environ["PATH"],
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.directory),
            **{name: self.inside(value or "") for name, value in given.items()},
        }

    def start(self) -> None:
        self.argv = [*ENTRYPOINT, *map(self.inside, self.service["command"])]
        with (self.directory / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                tethered(self.argv), env=self.environment(), cwd=self.directory, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def check(self) -> subprocess.CompletedProcess[str]:
        """Ask once how it is, as Docker does."""
        kind, *command = self.service["healthcheck"]["test"]
        assert kind == "CMD"
        argv = [sys.executable if part == "python" else self.inside(part) for part in command]
        timeout = seconds(self.service["healthcheck"]["timeout"])
        return subprocess.run(
            argv, env=self.environment(), cwd=self.directory, capture_output=True, text=True, timeout=timeout
        )

    def healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.log()}"
        try:
            return self.check().returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def stop(self) -> int:
        """End it as `docker stop` does; return its status. Raises TimeoutExpired where Docker would kill it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds(self.service["stop_grace_period"]))

    def log(self) -> str:
        """Return the last of what it said."""
        return (self.directory / f"{self.name}.log").read_text(errors="replace")[-2_000:]


def copies(name: str, service: Tree, scale: Mapping[str, int]) -> list[str]:
    """Return the names of a service's copies."""
    count = scale.get(name, service["deploy"].get("replicas", 1))
    return [f"{name}-{number}" for number in range(1, count + 1)]


def in_order(services: Mapping[str, Tree], up: set[str]) -> Iterator[str]:
    """Return the names of services, none before those that it waits for; `up` are there already."""
    up, waiting = set(up), dict(services)
    while waiting:
        ready = [name for name, service in waiting.items() if service.get("depends_on", {}).keys() <= up]
        assert ready, f"they wait for each other: {waiting.keys()}"
        for name in ready:
            del waiting[name]
            up.add(name)
            yield name


@contextmanager
def running(
    services: Mapping[str, Tree], where: Mapping[str, str], directory: Path, *, up: set[str], scale: Mapping[str, int]
) -> Iterator[dict[str, Container]]:
    """Start services in their order, each when those before it are healthy, as `docker compose up` does."""
    found: dict[str, Container] = {}
    with ExitStack() as stack:
        for name in in_order(services, up):
            for copy in copies(name, services[name], scale):
                found[copy] = container(copy, services[name], where, directory)
                stack.callback(_kill, found[copy])
                found[copy].start()
            for copy in copies(name, services[name], scale):
                wait_healthy(found[copy])
        yield found


def container(name: str, service: Tree, where: Mapping[str, str], directory: Path) -> Container:
    """Return a copy of a service with ports of its own."""
    ports = {port: str(free_port()) for port in PORTS}
    own = directory / name
    own.mkdir()
    return Container(name=name, service=service, where={**where, **ports, "0.0.0.0": "127.0.0.1"}, directory=own)


def wait_healthy(one: Container) -> None:
    """Ask until it is healthy, for as long as Docker would."""
    check = one.service["healthcheck"]
    patience = seconds(check["start_period"]) + seconds(check["interval"]) * check["retries"]
    within(patience, one.healthy, lambda: f"{one.name} is not healthy: {one.check()}\n{one.log()}")


def within(patience: float, holds: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Ask every fifth of a second. Raises AssertionError after so many seconds."""
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.2)


def url_of(one: Container) -> str:
    """Return where a web container is."""
    return f"http://127.0.0.1:{one.where['8000']}"


def published(service: Tree) -> dict[str, Path]:
    """Return what of the project is mounted, by its place in the container."""
    return {place: Path(source) for source, place, _ in mounts(service) if source.startswith("/")}


def _kill(one: Container) -> None:
    if one.process is not None and one.process.poll() is None:
        one.process.kill()
        one.process.wait()

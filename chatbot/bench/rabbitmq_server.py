"""A private RabbitMQ node, with the management plugin and an epmd of its own, all of it on loopback."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pika
import pika.exceptions

from chatbot.bench.servers import MissingServerError, PrivateServer, free_port, listens
from chatbot.bench.waiting import wait_until

#: What we ask of every server: a queue of the ladder of delays may hand a message to the next one while that one is
#: down. The server waits for the confirm, three minutes by default, before it tries again.
ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}]}].\n"


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


class RabbitmqServer(PrivateServer):
    """A RabbitMQ node with the management plugin and an epmd of its own, all of it on loopback.

    `options` are further lines of its rabbitmq.conf.
    """

    start_timeout = 60.0
    stop_timeout = 30.0

    def __init__(self, *options: str) -> None:
        super().__init__()
        self._binary = find_rabbitmq()
        self._options = options
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
        if not (listens(self.port) and listens(self.management_port)):
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
            wait_until(lambda: listens(self._epmd_port), 10, "epmd does not start")
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
            + "".join(f"{option}\n" for option in self._options)
        )
        (self.directory / "advanced.config").write_text(ADVANCED)

    def _environment(self) -> dict[str, str]:
        here = str(self.directory)
        erl = "+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}"
        return {
            "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": here,
            "RABBITMQ_NODENAME": self._node, "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia", "RABBITMQ_LOG_BASE": f"{here}/logs", "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{here}/pid", "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{here}/advanced.config",
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

"""Valkey and RabbitMQ as the compose files start them: their start scripts and configuration, on servers of ours."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.docker.compose import ROOT
from tests.servers import PrivateServer, RabbitmqServer, find_rabbitmq, find_redis, find_valkey

VALKEY, RABBITMQ = ROOT / "docker" / "valkey", ROOT / "docker" / "rabbitmq"


class ShippedValkey(PrivateServer):
    """The store: docker/valkey/start.sh, with a port and a directory of our own."""

    def __init__(self, secrets: Path) -> None:
        super().__init__()
        self.secrets = secrets

    @property
    def password(self) -> str:
        return (self.secrets / "store_password").read_text().strip()

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def is_ready(self) -> bool:
        with contextlib.closing(
            redis.Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0))
        ) as client:
            try:
                return bool(client.info("server")["process_id"] == self.pid)
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def healthy(self, check: str) -> bool:
        """Ask as the container's health check does."""
        command = check.replace("/run/secrets", str(self.secrets))
        self._programs()
        return subprocess.run(["sh", "-c", command], env=self._environment(), timeout=10).returncode == 0

    def _launch(self) -> None:
        self._programs()
        places = {"/run/secrets": str(self.secrets), "/etc/valkey": str(self.directory), "/data": str(self.directory)}
        for name in ("start.sh", "valkey.conf"):
            text = (VALKEY / name).read_text()
            for theirs, ours in places.items():
                text = text.replace(theirs, ours)
            (self.directory / name).write_text(text)
        self.process = self._spawn(["sh", str(self.directory / "start.sh")], self._environment())

    def _programs(self) -> None:
        """Put what the image has on the path, with a port of our own."""
        own = f"--port {self.port} --bind 127.0.0.1"
        _program(self.directory / "valkey-server", f'conf=$1; shift; exec {find_valkey()} "$conf" {own} "$@"')
        _program(self.directory / "valkey-cli", f'exec {find_redis().replace("-server", "-cli")} -p {self.port} "$@"')

    def _environment(self) -> dict[str, str]:
        return {"PATH": f"{self.directory}:{os.environ['PATH']}"}


class ShippedRabbitmq(RabbitmqServer):
    """The broker: docker/rabbitmq/start.sh and its configuration, with ports and a directory of our own."""

    def __init__(self, secrets: Path) -> None:
        # A test's machine has less disk space to spare than a deployment's.
        super().__init__(*(RABBITMQ / "rabbitmq.conf").read_text().splitlines(), "disk_free_limit.absolute = 50MB")
        self.secrets = secrets
        script = (RABBITMQ / "start.sh").read_text().replace("/run/secrets", str(secrets))
        _program(self.directory / "start.sh", script.replace("exec rabbitmq-server", f"exec {find_rabbitmq()}"))
        self._binary = str(self.directory / "start.sh")

    @property
    def password(self) -> str:
        return (self.secrets / "rabbitmq_password").read_text().strip()

    @property
    def url(self) -> str:
        return f"amqp://chatbot:{self.password}@127.0.0.1:{self.port}/"

    def _write_files(self) -> None:
        super()._write_files()
        (self.directory / "advanced.config").write_text((RABBITMQ / "advanced.config").read_text())


def _program(path: Path, text: str) -> None:
    path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)

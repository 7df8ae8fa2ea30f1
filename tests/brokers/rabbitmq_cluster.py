"""Three RabbitMQ nodes that form a cluster, each of which a test may kill."""

from __future__ import annotations

import random
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.brokers.rabbitmq_server import INSPECTED
from tests.servers import PrivateServer, RabbitmqServer, _listens, free_port
from tests.waiting import wait_until


class ClusterNode(RabbitmqServer):
    """A node that shares its port mapper and its cookie with the others, and joins the first one by its name."""

    start_timeout = 120.0

    def __init__(self, epmd_port: int, cookie: str, first: ClusterNode | None) -> None:
        super().__init__(INSPECTED)
        self._epmd_port, self._cookie, self._first = epmd_port, cookie, first

    @property
    def name(self) -> str:
        """What the other nodes call it."""
        return self._node

    def _take_other_ports(self) -> None:
        mapper = getattr(self, "_epmd_port", 0)
        super()._take_other_ports()
        self._epmd_port = mapper or self._epmd_port

    def _launch(self) -> None:
        self._write_files()
        self.process = self._spawn([self._binary], self._environment())

    def _write_files(self) -> None:
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.write_text(self._cookie)
            cookie.chmod(0o400)
        super()._write_files()
        if self._first is not None:
            with (self.directory / "rabbitmq.conf").open("a") as config:
                config.write("cluster_formation.peer_discovery_backend = classic_config\n")
                for i, node in enumerate([self._first, self], 1):
                    config.write(f"cluster_formation.classic_config.nodes.{i} = {node.name}\n")

    def _end(self, signum: int) -> None:
        PrivateServer._end(self, signum)  # the port mapper stays: it is the others', too


class Cluster:
    """The nodes, as a context manager."""

    def __init__(self, size: int = 3) -> None:
        port, cookie = free_port(), f"CHATBOT{random.SystemRandom().getrandbits(64)}"
        self._epmd_port = port
        first = ClusterNode(port, cookie, None)
        self.nodes = [first, *(ClusterNode(port, cookie, first) for _ in range(size - 1))]
        self._exit = ExitStack()

    @property
    def url(self) -> str:
        """All of its nodes, as the broker takes them."""
        return ";".join(node.url for node in self.nodes)

    def __enter__(self) -> Cluster:
        home = self._exit.enter_context(tempfile.TemporaryDirectory(prefix="chatbot-test-"))
        argv = [shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(self._epmd_port)]
        mapper = subprocess.Popen(argv, cwd=Path(home), stdin=subprocess.DEVNULL)
        self._exit.callback(mapper.wait)
        self._exit.callback(mapper.kill)
        wait_until(lambda: _listens(self._epmd_port), 10, "epmd does not start")
        for node in self.nodes:
            # One after the other: nodes that wait for each other may do so for long.
            self._exit.callback(node.close)
            node.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._exit.close()

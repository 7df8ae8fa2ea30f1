"""More than one server: Sentinels beside a master, and clusters."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import redis
from redis.sentinel import Sentinel

from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

SLOTS = 16_384
#: What a node of a cluster is started with.
CLUSTERED = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
#: What a master is started with, so that a replica need not wait for others that may come.
MASTER = ("--repl-diskless-sync-delay", "0")


def encrypted(private_redis: Callable[..., RedisServer], directory: Path) -> str:
    """Start a server that speaks TLS; return its URL, with the authority to trust."""
    cert, key, port = directory / "cert.pem", directory / "key.pem", free_port()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert), "-keyout", str(key)],
        check=True, capture_output=True,
    )  # fmt: skip
    private_redis(
        None, "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no",
    )  # fmt: skip
    return f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={cert}"


class SentinelServer(RedisServer):
    """A Sentinel that alone decides that a master is gone."""

    def __init__(self, master: RedisServer) -> None:
        super().__init__()
        self._master = master

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.port}/main/0"

    def wait_for_a_replica(self) -> None:
        """Return when it knows of one."""
        seen = Sentinel([("127.0.0.1", self.port)])
        with ExitStack() as stack:
            stack.callback(lambda: [one.close() for one in seen.sentinels])
            wait_until(lambda: seen.discover_slaves("main"), 30)

    def _launch(self) -> None:
        config = self.directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self.directory}\n"
            f"sentinel monitor main 127.0.0.1 {self._master.port} 1\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
        )
        self.process = self._spawn([self._binary, str(config), "--sentinel"])


class Cluster:
    """Masters that share the slots, in the order of the nodes."""

    def __init__(self, nodes: Sequence[RedisServer]) -> None:
        self.nodes = list(nodes)
        self._replicas: list[RedisServer] = []
        self.url = f"{nodes[0].url}?cluster=true"
        with self._clients() as clients:
            for i, client in enumerate(clients):
                first, last = i * SLOTS // len(nodes), (i + 1) * SLOTS // len(nodes) - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
            self._wait()

    def owner(self, key: str) -> RedisServer:
        """Return the node that a key was given to."""
        with closing(redis.Redis(port=self.nodes[0].port)) as client:
            slot = client.execute_command("CLUSTER", "KEYSLOT", key)
        masters = [node for node in self.nodes if node not in self._replicas]
        return masters[slot * len(masters) // SLOTS]

    def add_replica(self, master: RedisServer, node: RedisServer) -> None:
        """Let a further node follow a master."""
        self.nodes.append(node)
        self._replicas.append(node)
        with closing(redis.Redis(port=master.port)) as leader, closing(redis.Redis(port=node.port)) as client:
            name = leader.execute_command("CLUSTER", "MYID")
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", master.port)
            self._wait()
            client.execute_command("CLUSTER", "REPLICATE", name)
            wait_until(lambda: client.info("replication")["master_link_status"] == "up", 30)

    def _wait(self) -> None:
        with self._clients() as clients:
            for client in clients:
                wait_until(lambda client=client: self._is_well(client), 30)

    def _is_well(self, client: Any) -> bool:
        info = client.execute_command("CLUSTER", "INFO")
        text = info if isinstance(info, dict) else dict(line.split(":") for line in info.decode().split())
        return text["cluster_state"] == "ok" and int(text["cluster_known_nodes"]) == len(self.nodes)

    @contextmanager
    def _clients(self) -> Iterator[list[Any]]:
        with ExitStack() as stack:
            yield [stack.enter_context(closing(redis.Redis(port=node.port))) for node in self.nodes]


@contextmanager
def cluster(binary: str | None = None, masters: int = 3) -> Iterator[Cluster]:
    """Run a cluster of masters without replicas."""
    with ExitStack() as stack:
        nodes = [RedisServer(binary, *CLUSTERED) for _ in range(masters)]
        for node in nodes:
            stack.enter_context(node)
        yield Cluster(nodes)

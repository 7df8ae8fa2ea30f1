"""A whole deployment on this machine: a store, a broker, and the service's own processes between them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import pika
import redis

from chatbot.bench.partners import SECRET, Partners
from chatbot.bench.rabbitmq_server import RabbitmqServer
from chatbot.bench.servers import PrivateServer, RedisServer, free_port
from chatbot.bench.waiting import wait_until
from chatbot.channels.standard_webhooks import read_secrets, sign
from chatbot.processes.tether import tethered

QUEUES = ("default", "high", "low")
#: What `admin` logs in with.
ADMIN_PASSWORD = "a password of the bench"
#: The program that `Deployment.start` runs, as `python -m`.
CHATBOT = ("chatbot",)


@dataclass
class Process:
    """One `chatbot` process; its output is in a file that a failing test can show."""

    popen: subprocess.Popen[bytes]
    log: IO[bytes]

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def stop(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(30)

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is done."""
        self.popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.popen.send_signal(signal.SIGCONT)

    def output(self) -> str:
        return Path(self.log.name).read_text(errors="replace")


@dataclass
class Deployment:
    """The service between a store and a broker of either kind."""

    store: RedisServer
    broker: PrivateServer
    partners: Partners
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self.port = free_port()
        self.client = httpx.Client(base_url=self.url, timeout=15)
        self.processes: list[Process] = []

    def __enter__(self) -> Deployment:
        self.wipe_broker()
        return self

    def __exit__(self, *exc: object) -> None:
        self.client.close()
        for process in self.processes:
            if process.popen.poll() is None:
                process.kill()
            if exc[0] is not None:
                print(process.output())
        self._stack.close()

    @property
    def url(self) -> str:
        """Where its webhooks are."""
        return f"http://127.0.0.1:{self.port}"

    # --- processes ---
    def start(self, *arguments: str, program: Sequence[str] = CHATBOT) -> Process:
        """Start `chatbot ARGUMENTS`, or another program that takes them and that ends with us."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
        environment |= {
            "CHATBOT_STORE_URL": self.store.url,
            "CHATBOT_BROKER_URL": self.broker.url,
            "CHATBOT_GENERIC_SECRET": SECRET,
            "CHATBOT_ADMIN_PASSWORD": ADMIN_PASSWORD,
            "CHATBOT_GENERIC_OUTBOUND_URL": f"{self.partners.url}/replies",
            "CHATBOT_RESPONDER": f"{self.partners.url}/respond",
            "CHATBOT_REPUBLISH_AFTER_MS": "1000",
            **self.settings,
        }
        log = tempfile.NamedTemporaryFile(prefix="chatbot-", suffix=".log")  # noqa: SIM115
        self._stack.enter_context(log)
        argv = tethered([sys.executable, "-m", *program, *arguments])
        popen = subprocess.Popen(argv, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.processes.append(Process(popen, log))
        return self.processes[-1]

    def start_web(self, *, program: Sequence[str] = CHATBOT) -> Process:
        """Start a web process, and wait until it answers."""
        process = self.start("web", "--port", str(self.port), program=program)
        wait_until(lambda: self._healthy(process), 60, "the web process does not answer")
        return process

    def start_worker(self, *arguments: str, program: Sequence[str] = CHATBOT) -> Process:
        """Start a worker, and wait until it works."""
        process = self.start("worker", *arguments, program=program)
        wait_until(lambda: "working on" in process.output() or _died(process), 60, "the worker does not start")
        return process

    def _healthy(self, process: Process) -> bool:
        _died(process)
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/health").status_code == 200
        return False

    # --- webhooks ---
    def post(self, *messages: dict[str, Any]) -> httpx.Response:
        """Deliver messages of the generic channel, signed."""
        headers, body = webhook(*messages)
        return self.client.post("/webhooks/generic", content=body, headers=headers)

    # --- the broker's queues ---
    def wipe_broker(self) -> None:
        """Delete every queue that the service uses."""
        if isinstance(self.broker, RedisServer):
            self.broker.flush()
            return
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.broker.url))) as connection:
            for queue in QUEUES:
                for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
                    connection.channel().queue_delete(name)

    def waiting(self, queue: str) -> int:
        """Return how many messages wait in a queue of the broker."""
        if isinstance(self.broker, RedisServer):
            with contextlib.closing(redis.Redis.from_url(self.broker.url)) as client:
                return int(client.llen(f"dramatiq:{queue}"))
        with contextlib.closing(pika.BlockingConnection(pika.URLParameters(self.broker.url))) as connection:
            try:
                return int(connection.channel().queue_declare(queue, passive=True).method.message_count)
            except pika.exceptions.ChannelClosedByBroker:
                return 0

    # --- the store ---
    def keys_without_ttl(self) -> list[str]:
        """Return the ledger's keys that would stay for ever."""
        with contextlib.closing(redis.Redis.from_url(self.store.url)) as client:
            return [key.decode() for key in client.scan_iter("{chatbot*", count=1000) if client.pttl(key) == -1]

    def open_keys(self) -> list[str]:
        """Return the conversations that are not idle, and the dead letters: none of both once all is answered."""
        with contextlib.closing(redis.Redis.from_url(self.store.url)) as client:
            found = [key for kind in ("k", "l", "d") for key in client.scan_iter(f"{{chatbot*}}{kind}:*", count=1000)]
            return [key.decode() for key in found]


def webhook(*messages: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    """Return the headers and the body of a webhook of the generic channel."""
    body = json.dumps({"messages": messages}).encode()
    headers = sign(read_secrets(SECRET), uuid.uuid4().hex, body)
    return {**headers, "content-type": "application/json"}, body


def broker_of(kind: str) -> PrivateServer:
    """Return a private broker: `redis` or `rabbitmq`."""
    return RedisServer() if kind == "redis" else RabbitmqServer()


def _died(process: Process) -> bool:
    if process.popen.poll() is not None:
        raise RuntimeError(f"the process ended with {process.popen.returncode}:\n{process.output()}")
    return False

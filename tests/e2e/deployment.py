"""A whole deployment on this machine: a store, a broker, and the service's own processes between them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import pika
import redis

from chatbot.channels.standard_webhooks import read_secrets, sign
from tests.e2e.partners import SECRET, Partners
from tests.servers import PrivateServer, RabbitmqServer, RedisServer, free_port
from tests.waiting import wait_until

QUEUES = ("default", "high", "low")


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
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=15)
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

    # --- processes ---
    def start(self, *arguments: str) -> Process:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
        environment |= {
            "CHATBOT_STORE_URL": self.store.url,
            "CHATBOT_BROKER_URL": self.broker.url,
            "CHATBOT_GENERIC_SECRET": SECRET,
            "CHATBOT_GENERIC_OUTBOUND_URL": f"{self.partners.url}/replies",
            "CHATBOT_RESPONDER": f"{self.partners.url}/respond",
            "CHATBOT_REPUBLISH_AFTER_MS": "1000",
            **self.settings,
        }
        log = tempfile.NamedTemporaryFile(prefix="chatbot-", suffix=".log")  # noqa: SIM115
        self._stack.enter_context(log)
        argv = [sys.executable, "-m", "chatbot", *arguments]
        popen = subprocess.Popen(argv, env=environment, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.processes.append(Process(popen, log))
        return self.processes[-1]

    def start_web(self) -> Process:
        process = self.start("web", "--port", str(self.port))
        wait_until(lambda: self._healthy(process), 20, "the web process does not answer")
        return process

    def start_worker(self, *arguments: str) -> Process:
        process = self.start("worker", *arguments)
        wait_until(lambda: "working on" in process.output() or _died(process), 20, "the worker does not start")
        return process

    def _healthy(self, process: Process) -> bool:
        _died(process)
        with contextlib.suppress(httpx.TransportError):
            return self.client.get("/health").status_code == 200
        return False

    # --- webhooks ---
    def post(self, *messages: dict[str, Any]) -> httpx.Response:
        body = json.dumps({"messages": messages}).encode()
        headers = {**sign(read_secrets(SECRET), uuid.uuid4().hex, body), "content-type": "application/json"}
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
        with contextlib.closing(redis.Redis.from_url(self.store.url)) as client:
            return [key.decode() for key in client.scan_iter("{chatbot*", count=1000) if client.pttl(key) == -1]


def message(conversation: str, number: int) -> dict[str, Any]:
    """Return one message of the generic channel."""
    return {
        "message_id": f"{conversation}-{number}",
        "conversation_id": conversation,
        "sender_id": f"user-of-{conversation}",
        "text": f"line {number}",
    }


def texts(turn: Any) -> list[str]:
    """Return the texts of the messages that a responder was asked about."""
    return [item["text"] for item in turn.body["messages"]]


def stays(holds: Callable[[], bool], seconds: float) -> bool:
    """Say whether something goes on holding for so long: a second reply would come within it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not holds():
            return False
        time.sleep(0.02)
    return True


def _died(process: Process) -> bool:
    if process.popen.poll() is not None:
        raise AssertionError(f"the process ended with {process.popen.returncode}:\n{process.output()}")
    return False


@contextlib.contextmanager
def deployed(store: RedisServer, broker: RedisServer | RabbitmqServer, **settings: str) -> Iterator[Deployment]:
    """Run a deployment, whose store must hold no key without a time to live in the end."""
    with Partners() as partners, Deployment(store, broker, partners, settings) as deployment:
        yield deployment
        assert deployment.keys_without_ttl() == []

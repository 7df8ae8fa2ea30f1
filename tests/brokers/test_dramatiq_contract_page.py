"""The programs of docs/dramatiq.md do what the page says, under Dramatiq's own command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dramatiq
import pika
import pytest
import redis
from dramatiq.brokers.redis import RedisBroker as StockRedisBroker

from chatbot.processes.tether import tethered
from tests.docs.markdown import write
from tests.servers import RabbitmqServer, RedisServer
from tests.waiting import wait_until


class Project:
    """The page's files in a directory, and an environment that names the servers."""

    def __init__(self, directory: Path, **environment: str) -> None:
        self.directory, self.environment = directory, {**os.environ, **environment}
        write("dramatiq.md", directory)

    def python(self, *argv: str) -> None:
        subprocess.run([sys.executable, *argv], cwd=self.directory, env=self.environment, check=True, timeout=60)

    @contextmanager
    def dramatiq(self, module: str) -> Iterator[Callable[[], list[str]]]:
        """Run `dramatiq module`, which must end well when it is asked to. Yields what tells what its actors printed."""
        output = self.directory / "output"

        def printed() -> list[str]:
            # Two threads may print at once: then two texts are on one line, and an empty one follows.
            said = r"(?:hello|charged) (?:plain )?(?:[A-Z][a-z]+?|\d+)(?=\n|hello|charged)"
            return sorted(re.findall(said, output.read_text()))

        argv = tethered([sys.executable, "-m", "dramatiq", module, "--processes", "1", "--threads", "2"])
        with output.open("wb") as out:
            process = subprocess.Popen(argv, cwd=self.directory, env=self.environment, stdout=out, stderr=out)
        try:
            yield printed
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def server(private_redis: Callable[..., RedisServer]) -> RedisServer:
    return private_redis()


def test_our_producers_and_plain_ones_send_to_our_workers(server: RedisServer, tmp_path: Path) -> None:
    project = Project(tmp_path, REDIS_URL=server.url)
    with project.dramatiq("tasks") as printed:
        project.python("send.py")
        project.python("plain.py")
        wait_until(lambda: len(printed()) >= 4, 30)
    assert printed() == [f"hello {who}" for who in ("Ada", "Grace", "plain 500", "plain None")]


@pytest.mark.long
def test_delayed_messages_go_back_to_plain_dramatiq(server: RedisServer, tmp_path: Path) -> None:
    project = Project(tmp_path, REDIS_URL=server.url)
    with closing(redis.Redis.from_url(server.url)) as client:
        with project.dramatiq("tasks"):
            wait_until(lambda: client.zcard("dramatiq:__workers__"), 30)
            project.python("-c", "from tasks import greet; greet.send_with_options(args=('Ada',), delay=10_000)")
            assert client.zcard("dramatiq:default.delayed") == 1
        project.python("go_back.py")
        assert not client.exists("dramatiq:default.delayed")
    calls: list[str] = []
    plain: Any = StockRedisBroker(url=server.url)
    dramatiq.actor(broker=plain, actor_name="greet")(calls.append)
    worker = dramatiq.Worker(plain, worker_threads=1, worker_timeout=100)
    worker.start()
    wait_until(lambda: calls == ["Ada"], 30)
    worker.stop()
    plain.client.connection_pool.disconnect()


@pytest.mark.long
def test_actors_keep_their_guarantees_under_dramatiqs_command(
    server: RedisServer, rabbitmq_server: RabbitmqServer, tmp_path: Path
) -> None:
    project = Project(tmp_path, REDIS_URL=server.url, BROKER_URL=rabbitmq_server.url)
    with project.dramatiq("orders") as printed:
        project.python("-c", "from orders import charge; [charge.send(n) for n in (1, 1, 2, 1, 3)]")
        wait_until(lambda: len(printed()) >= 3, 30)
    assert printed() == ["charged 1", "charged 2", "charged 3"]
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url))) as connection:
        for name in ("default", "default.DQ", "default.XQ"):
            connection.channel().queue_delete(name)

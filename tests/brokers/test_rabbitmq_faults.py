"""On RabbitMQ every confirmed message runs, and none runs again after the server has its acknowledgement."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import BrokerConnectionError

from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.brokers.rabbitmq_server import PromptRabbitmqServer
from tests.brokers.rabbitmq_worker import runner
from tests.waiting import wait_until

#: In the child, as many messages are fetched as run: the next ones come only for acknowledgements that have arrived.
THREADS = 4


class House:
    """A queue on a server that may die, worked on by this process and by a child, who write into one log."""

    def __init__(self, server: PromptRabbitmqServer, directory: Path, urls: str | None = None, **options: Any) -> None:
        self.server, self.url = server, urls or server.url
        self.log, self.gate = directory / "runs", directory / "gate"
        self.queue = f"run-{uuid.uuid4().hex[:8]}"
        self.log.touch()
        self._exit = contextlib.ExitStack()
        self.broker = self.create(**options)
        self.actor = declare(
            self.broker, runner(self.log, self.gate, "parent"), actor_name="run", queue_name=self.queue, max_retries=0
        )

    def create(self, **options: Any) -> Any:
        """Return a further broker object."""
        broker: Any = RabbitmqBroker(url=self.url, middleware=guarded_stack(MemoryStore()), heartbeat=1, **options)
        self._exit.callback(broker.close)
        return broker

    def send(self, numbers: range, **options: Any) -> None:
        """Send calls as one batch."""
        self.broker.enqueue_many([self.actor.message(number, **options) for number in numbers])

    def runs(self, what: str = "end", who: str = "") -> Counter[int]:
        """Return how often each call was started, or has ended."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return Counter(int(number) for name, verb, number, _ in lines if verb == what and name.startswith(who))

    def times(self, what: str = "start") -> dict[int, float]:
        """Return when each call was started last."""
        lines = [line.split() for line in self.log.read_text().splitlines()]
        return {int(number): float(at) for _, verb, number, at in lines if verb == what}

    @contextlib.contextmanager
    def working(self) -> Iterator[dramatiq.Worker]:
        """Work in this process."""
        worker = dramatiq.Worker(self.broker, worker_threads=2)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop(timeout=10_000)

    def child(self, prefetch: int = THREADS) -> subprocess.Popen[bytes]:
        """Work in a process of its own, which ends with the test."""
        script = Path(__file__).with_name("rabbitmq_worker.py")
        arguments = [self.url, self.queue, str(self.log), str(self.gate), "1"]
        child = subprocess.Popen(
            [sys.executable, str(script), *arguments],
            stdin=subprocess.PIPE,
            env={**os.environ, "dramatiq_queue_prefetch": str(prefetch)},
        )
        self._exit.callback(_end, child)
        return child

    def close(self) -> None:
        """Leave nothing behind."""
        self._exit.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    assert child.stdin is not None
    child.stdin.close()


@pytest.fixture(scope="module")
def server() -> Iterator[PromptRabbitmqServer]:
    """A server that every test leaves running."""
    with PromptRabbitmqServer() as server:
        yield server


@pytest.fixture
def house(server: PromptRabbitmqServer, tmp_path: Path) -> Iterator[House]:
    house = House(server, tmp_path)
    yield house
    house.close()


# --- workers ---
def test_what_a_killed_worker_had_in_flight_runs_within_three_seconds_and_nothing_else_again(house: House) -> None:
    house.send(range(50))
    house.send(range(50, 50 + THREADS), held=True)
    house.send(range(60, 80))
    for number in range(80, 85):
        house.actor.send_with_options(args=(number,), delay=2_000)
    child = house.child()
    wait_until(lambda: set(range(50, 50 + THREADS)) <= set(house.runs("start")))
    child.kill()
    killed = time.time()
    house.gate.touch()
    with house.working():
        wait_until(lambda: set(range(50, 50 + THREADS)) <= set(house.runs()), 3)
        wait_until(lambda: len(house.runs()) == 50 + THREADS + 20 + 5)
    assert house.times()[50] - killed < 3
    again = {number for number, count in house.runs("start").items() if count > 1}
    assert again == set(range(50, 50 + THREADS))


def test_a_frozen_worker_neither_runs_nor_acknowledges_what_others_took_over(house: House) -> None:
    house.send(range(THREADS), held=True)
    house.send(range(10, 10 + THREADS))  # these wait in the child's memory
    child = house.child(prefetch=2 * THREADS)
    wait_until(lambda: set(range(THREADS)) <= set(house.runs("start")))
    child.send_signal(signal.SIGSTOP)
    house.gate.touch()
    with house.working():
        # The server misses two heartbeats.
        wait_until(lambda: len(house.runs(who="parent")) == 2 * THREADS, 15)
    house.send(range(20, 20 + THREADS))  # with the tags of those that the child holds
    child.send_signal(signal.SIGCONT)
    wait_until(lambda: set(range(20, 20 + THREADS)) <= set(house.runs(who="child")), 15)
    assert set(house.runs("start", "child")) == set(range(THREADS)) | set(range(20, 20 + THREADS))
    once = [*range(10, 10 + THREADS), *range(20, 20 + THREADS)]
    assert house.runs() == {**dict.fromkeys(range(THREADS), 2), **dict.fromkeys(once, 1)}


def test_a_worker_whose_connections_are_cut_goes_on_at_once(house: House) -> None:
    with house.working():
        house.send(range(1))
        wait_until(lambda: house.runs()[0] == 1)
        cut_all(house.server)
        started = time.monotonic()
        house.send(range(1, 2))
        wait_until(lambda: house.runs()[1] == 1)
    assert time.monotonic() - started < 2.5, "Dramatiq itself looks again after three seconds only"


def cut_all(server: PromptRabbitmqServer) -> None:
    """Close every connection from the server's side."""
    wait_until(lambda: len(manage(server, "connections")) >= 3)
    for connection in manage(server, "connections"):
        manage(server, f"connections/{urllib.parse.quote(connection['name'], safe='')}", "DELETE")


def manage(server: PromptRabbitmqServer, path: str, method: str = "GET") -> Any:
    """Ask the management API."""
    url = urllib.parse.urlsplit(server.management_url)
    token = base64.b64encode(f"{url.username}:{url.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{url.hostname}:{url.port}/api/{path}", method=method, headers={"Authorization": f"Basic {token}"}
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        body = answer.read()
    return json.loads(body) if body else None


def test_connections_say_whose_they_are(house: House) -> None:
    def names() -> set[str]:
        found = [
            connection["client_properties"]["connection_name"] for connection in manage(house.server, "connections")
        ]
        return {role for name in found if name.startswith("chatbot:") for role in [name.split(":", 3)[3]]}

    with house.working():
        house.send(range(1))
        wait_until(lambda: {"publisher", f"consumer:{house.queue}", f"consumer:{house.queue}.DQ"} <= names())


# --- the server ---
def test_a_server_that_says_nothing_is_an_error_in_time_and_the_next_message_arrives(house: House) -> None:
    broker = house.create(confirm_timeout=0.3)
    actor = declare(broker, print, actor_name="run", queue_name=house.queue)
    actor.send(1)
    house.server.pause()
    started = time.monotonic()
    try:
        with pytest.raises(BrokerConnectionError):
            actor.send(2)
    finally:
        house.server.resume()
    assert time.monotonic() - started < 5
    house.actor.send(3)
    with house.working():
        wait_until(lambda: {1, 3} <= set(house.runs()))


def test_a_server_killed_under_load_has_every_message_that_it_confirmed(house: House) -> None:
    confirmed: list[int] = []
    stop = threading.Event()

    def produce(first: int) -> None:
        for number in range(first, first + 10_000):
            if stop.is_set():
                return
            with contextlib.suppress(BrokerConnectionError):
                house.actor.send(number)
                confirmed.append(number)

    producers = [threading.Thread(target=produce, args=(n * 10_000,)) for n in range(4)]
    for producer in producers:
        producer.start()
    wait_until(lambda: len(confirmed) >= 200)
    house.server.kill()
    before = len(confirmed)
    house.server.start()
    wait_until(lambda: len(confirmed) > before + 20)
    stop.set()
    for producer in producers:
        producer.join()
    with house.working():
        wait_until(lambda: set(confirmed) <= set(house.runs()), 20)
    assert max(house.runs().values()) == 1


def outage(house: House, seconds: float) -> None:
    """Let the server be gone for at least so long, with work in flight, waiting, delayed, and due meanwhile."""
    house.send(range(50))
    with house.working() as worker:
        wait_until(lambda: len(house.runs()) == 50)
        house.send(range(50, 52), held=True)
        wait_until(lambda: len(house.runs("start")) == 52)
        house.send(range(60, 80))
        sent = time.time()
        due = {100 + i: 400 * i for i in range(1, 30)}
        for number, delay in due.items():
            house.actor.send_with_options(args=(number,), delay=delay)
        house.server.kill()
        back = time.monotonic() + seconds
        wait_until(lambda: time.monotonic() >= back, seconds + 1)
        house.server.start()
        house.gate.touch()
        wait_until(lambda: len(house.runs()) == 50 + 2 + 20 + len(due), 40)
        assert all(thread.is_alive() for thread in worker.workers)
    starts = house.times()
    assert all(starts[number] * 1000 >= sent * 1000 + delay - 1 for number, delay in due.items())
    assert {number for number, count in house.runs("start").items() if count > 1} <= {50, 51}


def test_an_outage_with_delays_pending_loses_nothing_and_repeats_nothing_that_was_acknowledged(house: House) -> None:
    outage(house, 1)


@pytest.mark.long
def test_a_long_outage_with_delays_pending_loses_nothing(house: House) -> None:
    outage(house, 20)

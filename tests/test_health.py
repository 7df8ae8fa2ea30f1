"""A process says whether it works, and `chatbot health` asks it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from chatbot import roles
from chatbot.brokers.stub import StubBroker
from chatbot.commands.health import health
from chatbot.errors import StoreUnavailable
from chatbot.metrics.exposition import Exposition
from chatbot.metrics.meters import Meters
from chatbot.metrics.standing import Standing
from chatbot.middleware import declare
from chatbot.scheduling import Periodic, Scheduler, cron
from chatbot.stores.memory import MemoryStore
from tests.servers import free_port
from tests.waiting import wait_until

WELL = {"store": "ok", "broker": "ok"}


@contextmanager
def process(look: Callable[[], Mapping[str, str]]) -> Iterator[str]:
    """Give the address of a process that looks so at itself."""
    exposition = Exposition(Meters(), Standing(MemoryStore(), lambda: WELL))
    sock = socket.create_server(("127.0.0.1", 0))
    server = exposition.serve(sock, look)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}/ready"
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str, **environment: str) -> Result:
    return CliRunner().invoke(health, [url], env=environment)


def test_a_process_that_has_all_it_needs_is_healthy() -> None:
    with process(lambda: WELL) as url:
        asked = ask(url)
    assert asked.exit_code == 0
    assert json.loads(asked.stdout) == {"status": "ready", **WELL}


def test_a_process_that_lacks_something_says_what() -> None:
    with process(lambda: {**WELL, "threads": "ended: pump"}) as url:
        asked = ask(url)
    assert asked.exit_code == 1
    assert json.loads(asked.stderr) == {"status": "not ready", **WELL, "threads": "ended: pump"}


def test_a_process_is_alive_whatever_it_waits_for() -> None:
    """Who asks this may start it again, which would not bring a store back."""
    looking, done = threading.Event(), threading.Event()

    def wait() -> Mapping[str, str]:
        looking.set()
        assert done.wait(10)
        return {"store": "down"}

    with process(wait) as url:
        waiting = threading.Thread(target=ask, args=(url,))
        waiting.start()
        assert looking.wait(10)
        asked = ask(url.replace("/ready", "/health"))
        done.set()
        waiting.join()
    assert (asked.exit_code, json.loads(asked.stdout)) == (0, {"status": "ok"})


def test_where_nobody_answers_nobody_is_healthy() -> None:
    url = f"http://127.0.0.1:{free_port()}/ready"
    asked = ask(url)
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert asked.stderr.startswith(f"{url}: ")


def test_no_proxy_answers_for_this_machine() -> None:
    with process(lambda: WELL) as url:
        assert ask(url, http_proxy="http://127.0.0.1:1", HTTP_PROXY="http://127.0.0.1:1").exit_code == 0


def test_who_asks_and_does_not_wait_leaves_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    asked, answer = threading.Event(), threading.Event()
    before = threading.enumerate()  # other tests' servers may have threads of that name

    def slow() -> Mapping[str, str]:
        if not asked.is_set():
            asked.set()
            answer.wait(20)
        return {**WELL, "long": "-" * 10_000_000}

    with process(slow) as url:
        with socket.create_connection(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) as client:
            client.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
            assert asked.wait(20)
        answer.set()
        wait_until(lambda: not [t for t in threading.enumerate() if "process_request" in t.name and t not in before])
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("part", ["consumers", "workers"])
def test_a_worker_one_of_whose_threads_has_ended_is_not_healthy(part: str) -> None:
    ended = threading.Thread(target=int, name="the one that ended")
    ended.start()
    ended.join()
    threads: dict[str, Any] = {"consumers": {}, "workers": []}
    threads[part] = {"default": ended} if part == "consumers" else [ended]
    assert roles.threads_of(SimpleNamespace(**threads)) == "ended: the one that ended"  # type: ignore[arg-type]


def test_a_worker_without_a_pump_is_not_healthy() -> None:
    assert roles.threads_of(SimpleNamespace(consumers={}, workers=[])) == "ended: pump"  # type: ignore[arg-type]


class Stumbling(Scheduler):
    """A scheduler whose first two looks at the clock fail."""

    looks = 0

    def step(self) -> float:
        self.looks += 1
        if self.looks <= 2:
            raise StoreUnavailable()
        return 60


def test_a_scheduler_tells_of_a_look_at_the_clock_that_went_through_and_of_no_other() -> None:
    store = MemoryStore()
    broker = StubBroker(middleware=[Periodic(store)])
    declare(broker, lambda: None, actor_name="tick", periodic=cron("* * * * *"))
    scheduler, stop, looks = Stumbling(broker, store), threading.Event(), list[int]()
    thread = threading.Thread(target=scheduler.run, args=(stop, lambda: looks.append(scheduler.looks)))
    thread.start()
    try:
        wait_until(lambda: looks, 20)
        assert looks == [3]
    finally:
        stop.set()
        thread.join()
        broker.close()

"""dramatiq-dashboard reads our Redis broker, and what it deletes or requeues is deleted or runs."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import dramatiq
import pytest
from dramatiq_dashboard.application import DashboardApp
from dramatiq_dashboard.interface import RedisInterface

from chatbot.brokers.redis import RedisBroker
from chatbot.middleware import Deduplicated, declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import RedisServer
from tests.waiting import wait_until


class House:
    """A broker with a queued, a delayed and a dead message, and the dashboard's view of it."""

    def __init__(self, url: str) -> None:
        self.runs: list[str] = []
        self.broker = RedisBroker(url=url, middleware=guarded_stack(MemoryStore()))
        self.actor = declare(self.broker, self.run, max_retries=0, deduplicated=Deduplicated(window=60_000))
        self.dashboard = RedisInterface(self.broker)
        with self.worker():
            self.actor.send("dead")
            wait_until(lambda: self.dashboard.get_queue("default").jobs_dead)
        self.actor.send("queued")
        self.actor.send_with_options(args=("delayed",), delay=3_600_000)

    def run(self, what: str) -> None:
        self.runs.append(what)
        if self.runs == ["dead"]:
            raise RuntimeError("hopeless")

    @contextmanager
    def worker(self) -> Iterator[None]:
        worker = dramatiq.Worker(self.broker, worker_threads=1, worker_timeout=50)
        worker.start()
        yield
        worker.stop()

    def job(self, part: str) -> Any:
        """Return the only job of a part of the queue."""
        _, (job,) = self.dashboard.get_jobs(f"default{part}")
        assert self.dashboard.get_job(f"default{part}", job.message_id).message == job.message
        return job


@pytest.fixture
def house(private_redis: Callable[..., RedisServer]) -> Iterator[House]:
    house = House(private_redis().url)
    yield house
    house.broker.close()


def test_the_dashboard_shows_queues_jobs_and_workers(house: House) -> None:
    (queue,) = house.dashboard.queues
    assert (queue.jobs, queue.jobs_delayed, queue.jobs_dead) == (1, 1, 1)
    assert [house.job(part).args for part in ("", ".DQ", ".XQ")] == [("queued",), ("delayed",), ("dead",)]
    assert house.dashboard.workers == []
    with house.worker():
        wait_until(lambda: [worker.name for worker in house.dashboard.workers] == [house.broker.broker_id])


@pytest.mark.parametrize("part", ["", ".DQ", ".XQ"])
def test_what_the_dashboard_deletes_is_gone(house: House, part: str) -> None:
    house.dashboard.delete_message(f"default{part}", house.job(part).message_id)
    assert house.dashboard.get_jobs(f"default{part}") == (None, [])
    with house.worker():
        house.actor.send("last")
        wait_until(lambda: "last" in house.runs)
    assert house.runs == (["dead", "last"] if part == "" else ["dead", "queued", "last"])


def test_what_the_dashboard_requeues_runs_though_a_call_like_it_was_sent_before(house: House) -> None:
    app = DashboardApp(house.broker, "")
    fields = {"queue": "default.XQ", "id": house.job(".XQ").message_id}
    post(app, "/requeue-message", fields)
    with house.worker():
        wait_until(lambda: house.runs.count("dead") == 2)
    assert house.dashboard.get_queue("default").jobs_dead == 0


def post(app: Any, path: str, fields: dict[str, str]) -> None:
    """Send a form as the dashboard's own page would."""
    body = urlencode({**fields, "__dd_csrf": "token"}).encode()
    environ = {
        "REQUEST_METHOD": "POST", "PATH_INFO": path, "QUERY_STRING": "", "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": "application/x-www-form-urlencoded", "wsgi.input": io.BytesIO(body),
        "HTTP_COOKIE": "__dd_csrf=token",
    }  # fmt: skip
    statuses: list[str] = []
    b"".join(app(environ, lambda status, headers, *_: statuses.append(status)))
    assert statuses[0].startswith("302")

"""A worker process that is killed in the middle of an idempotent call: another one runs the call again, soon.

Run as a program, this is such a worker: `test_killed_calls.py BROKER_URL STORE_URL NAMESPACE JOURNAL HELD`.
"""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from chatbot import brokers
from chatbot.brokers.worker import Worker
from chatbot.middleware import Idempotent, declare, guarded_stack
from chatbot.middleware.policies import ms
from chatbot.processes.tether import tethered
from chatbot.stores.redis import RedisStore
from tests.waiting import wait_until

THREADS = 4
LEASE = ms(Idempotent(key="").lease)
ORDERS = itertools.count()
#: s. On Redis a dead worker has a lease of its own. RabbitMQ redelivers at once, so nobody waits for a call's lease.
BOUNDS = {"amqp": None, "redis": 10}


def build(broker_url: str, store: RedisStore, run: Callable[[int], None]) -> Any:
    """Return the actor of one process, with all the defaults."""
    broker: Any = brokers.create(broker_url, guarded_stack(store))
    return declare(broker, run, actor_name="pay", queue_name=store.namespace, idempotent=Idempotent(key="{order}"))


class Payments:
    """An idempotent actor whose runs are written down, and the processes that work for it."""

    def __init__(self, broker_url: str, store_url: str, journal: Path) -> None:
        self._arguments = [broker_url, store_url, f"pay-{uuid.uuid4().hex[:8]}", str(journal)]
        self._journal, self._exit, self.bound = journal, ExitStack(), BOUNDS[broker_url.partition(":")[0]]
        journal.touch()
        self._store = self._exit.enter_context(closing(RedisStore(store_url, namespace=self._arguments[2])))
        self.actor = build(broker_url, self._store, lambda order: None)
        self._exit.callback(self.actor.broker.close)

    def hire(self, *, held: bool) -> subprocess.Popen[bytes]:
        """Start a worker, whose calls end at once or, `held`, never; return when it works."""
        argv = tethered([sys.executable, "-m", "tests.brokers.test_killed_calls", *self._arguments, str(int(held))])
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        self._exit.callback(_end, process)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    def started(self, process: subprocess.Popen[bytes]) -> dict[int, float]:
        """Return which calls a process has started, and when."""
        lines = [line.split() for line in self._journal.read_text().splitlines()]
        return {int(order): float(at) for pid, order, at in lines if int(pid) == process.pid}

    def since_renewal(self) -> int:
        """Return for how many ms no lease has been renewed."""
        client: Any = self._store.client
        left = map(client.pttl, client.keys(f"{{{self._store.namespace}:0}}c:*"))
        newest: int = max(ttl for ttl in left if ttl <= LEASE)  # what has run is remembered for longer
        return LEASE - newest

    def close(self) -> None:
        self._exit.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


@pytest.fixture(params=["rabbitmq", pytest.param("redis", marks=pytest.mark.long)])
def payments(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Payments]:
    server = request.getfixturevalue(f"{request.param}_server")
    store_url = request.getfixturevalue("redis_server").url
    with closing(Payments(server.url, store_url, tmp_path / "journal")) as payments:
        yield payments


def test_a_killed_workers_idempotent_calls_run_again_within_seconds(payments: Payments) -> None:
    victim = payments.hire(held=True)
    # As many wait in its memory, where they are claimed ahead.
    orders = [next(ORDERS) for _ in range(2 * THREADS)]
    for order in orders:
        payments.actor.send(order)
    wait_until(lambda: len(payments.started(victim)) == THREADS)
    heir = payments.hire(held=False)
    # Until it is there for sure: the victim's memory takes some of these.
    wait_until(lambda: payments.started(heir) or not payments.actor.send(next(ORDERS)), interval=0.1)
    victim.kill()
    killed = time.time()
    bound = payments.bound or (LEASE - payments.since_renewal()) / 1000 + time.time() - killed
    wait_until(lambda: set(orders) <= set(payments.started(heir)), 20)
    assert max(payments.started(heir)[order] for order in orders) - killed < bound


def main(broker_url: str, store_url: str, namespace: str, journal: str, held: str) -> None:
    """Work until somebody ends this process."""

    def run(order: int) -> None:
        with Path(journal).open("ab", buffering=0) as file:
            file.write(f"{os.getpid()} {order} {time.time()}\n".encode())  # in one piece
        if held == "1":
            time.sleep(3_600)

    actor = build(broker_url, RedisStore(store_url, namespace=namespace), run)
    Worker(actor.broker, worker_threads=THREADS).start()
    print("ready", flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Worker processes that write down what they do, so that a test may end or pause them at any moment.

Run as a program, this is such a worker: `redis_crew.py URL OPTIONS JOURNAL`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from dramatiq import Worker
from dramatiq.middleware import Middleware

from chatbot.brokers.redis import RedisBroker
from chatbot.middleware import declare, guarded_stack
from chatbot.processes.tether import tethered
from chatbot.stores.memory import MemoryStore
from tests.waiting import wait_until

#: s. Ten times as quick as in production.
SCALED = {"heartbeat": 0.2, "lease": 0.7}


class Journal:
    """Who did what, one line each, in the order in which it happened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def add(self, event: str, number: int) -> None:
        # One write of a few bytes at the end of a file is not torn apart by others.
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        os.write(descriptor, f"{event} {number} {os.getpid()}\n".encode())
        os.close(descriptor)

    def lines(self) -> list[tuple[str, int, int]]:
        """Return event, number and pid."""
        parts = [line.split() for line in self.path.read_text().splitlines()]
        return [(event, int(number), int(pid)) for event, number, pid in parts]

    def numbers(self, event: str) -> list[int]:
        return [number for what, number, _ in self.lines() if what == event]

    def run_after_acknowledgement(self) -> set[int]:
        """Return what was started although it had been acknowledged before."""
        acknowledged: set[int] = set()
        found: set[int] = set()
        for event, number, _ in self.lines():
            if event == "acknowledged":
                acknowledged.add(number)
            elif event == "started" and number in acknowledged:
                found.add(number)
        return found

    def repeated(self) -> list[int]:
        return [number for number, count in Counter(self.numbers("started")).items() if count > 1]


class Acknowledgements(Middleware):
    """Writes down what the server has removed; Dramatiq emits `after_ack` for what came too late, too."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def watch(self, broker: Any) -> None:
        scripts = broker.scripts
        numbers: dict[str, int] = {}

        def before_process(message: Any) -> None:
            numbers[message.redis_id] = message.args[0]

        self.before_process_message = lambda broker, message: before_process(message)  # type: ignore[method-assign]

        def run_and_tell(script: str, *args: Any) -> Any:
            answer = scripts(script, *args)
            if script == "ack":
                for redis_id, acknowledged in zip(args[2::2], answer, strict=True):
                    if acknowledged:
                        self._journal.add("acknowledged", numbers[redis_id])
            return answer

        broker.scripts = run_and_tell


def build(url: str, journal: Journal, **options: Any) -> tuple[Any, Any]:
    """Return a broker, and its actor that works for some ms and writes down when."""

    def work(number: int, ms: int = 0) -> None:
        journal.add("started", number)
        time.sleep(ms / 1000)
        journal.add("done", number)

    acknowledgements = Acknowledgements(journal)
    broker = RedisBroker(url=url, middleware=[*guarded_stack(MemoryStore()), acknowledgements], **options)
    acknowledgements.watch(broker)
    return broker, declare(broker, work, queue_name="work")


class Crew:
    """Worker processes on a server, and a broker to send from."""

    def __init__(self, url: str, directory: Path, **options: Any) -> None:
        self.url, self.options = url, {**SCALED, **options}
        self.journal = Journal(directory / "journal")
        self.broker, self.actor = build(url, self.journal, **self.options)
        self.processes: list[subprocess.Popen[bytes]] = []
        self.confirmed: list[int] = []
        self._broker_ids: dict[int, str] = {}

    def hire(self) -> subprocess.Popen[bytes]:
        """Start one more worker and wait until it works."""
        argv = [sys.executable, "-m", "tests.brokers.redis_crew", self.url, json.dumps(self.options)]
        process = subprocess.Popen(
            [*tethered(argv), str(self.journal.path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        self.processes.append(process)
        assert process.stdout is not None
        word, broker_id = process.stdout.readline().split()
        assert word == b"ready"
        self._broker_ids[process.pid] = broker_id.decode()
        return process

    def broker_id(self, process: subprocess.Popen[bytes]) -> str:
        """Return a worker's name on the server."""
        return self._broker_ids[process.pid]

    def send(self, number: int, ms: int = 0, delay: int | None = None) -> None:
        self.actor.send_with_options(args=(number, ms), delay=delay)
        self.confirmed.append(number)

    def done(self) -> bool:
        """Say whether every confirmed message has run to its end, and nothing waits for being acknowledged."""
        return set(self.confirmed) <= set(self.journal.numbers("done")) and self.is_empty()

    def is_empty(self) -> bool:
        with suppress(Exception):
            return bool(self.broker.do_qsize("work") == 0)
        return False

    def busy(self, process: subprocess.Popen[bytes], least: int = 1) -> bool:
        """Say whether a worker is in the middle of so many messages."""
        started = Counter(what for what, _, pid in self.journal.lines() if pid == process.pid)
        return started["started"] - started["done"] >= least

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *exc: object) -> None:
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        self.broker.close()


def in_background(run: Callable[[], None]) -> threading.Thread:
    """Start a thread that ends with its work."""
    thread = threading.Thread(target=run)
    thread.start()
    return thread


def main(url: str, options: str, journal: str) -> None:
    """Work until the end."""
    broker, _ = build(url, Journal(Path(journal)), **json.loads(options))
    worker = Worker(broker, worker_threads=4)
    worker.start()
    wait_until(lambda: broker.steward.holds_lease(0))
    print("ready", broker.broker_id, flush=True)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])

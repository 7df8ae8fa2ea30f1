"""A worker process that a test may kill or freeze. It writes down what it starts and ends, each in one line.

Arguments: the URL, the queue, the file to write to, the file whose coming lets held calls end, the heartbeat in s, and
the type of the queue.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq

from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore


def runner(log: Path, gate: Path, name: str) -> Callable[..., None]:
    """Return a function that writes down its calls, and waits for the gate if it is told to."""

    def write(what: str, number: int) -> None:
        line = f"{name} {what} {number} {time.time()}\n".encode()
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line)  # in one piece, whatever happens to the process
        finally:
            os.close(file)

    def run(number: int, held: bool = False) -> None:
        write("start", number)
        while held and not gate.exists():
            time.sleep(0.01)
        write("end", number)

    return run


def main(url: str, queue: str, log: str, gate: str, heartbeat: str, queue_type: Any) -> None:
    """Work until somebody ends this process."""
    broker: Any = RabbitmqBroker(
        url=url, middleware=guarded_stack(MemoryStore()), heartbeat=int(heartbeat), queue_type=queue_type
    )
    declare(broker, runner(Path(log), Path(gate), "child"), actor_name="run", queue_name=queue)
    dramatiq.Worker(broker, worker_threads=4).start()
    # The pipe closes when the test ends, however it ends.
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

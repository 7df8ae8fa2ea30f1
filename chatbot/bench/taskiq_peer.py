"""taskiq as a peer, where it and taskiq-redis are installed."""

from __future__ import annotations

import asyncio
import sys
import time
from importlib import import_module
from typing import Any

import msgspec

from chatbot.bench.load import say
from chatbot.bench.probe import Emit, Probe, Reporter


def declared(probe: Probe, emit: Emit) -> tuple[Any, Any]:
    """Return the broker and its task. The broker on streams acknowledges; the one on lists does not."""
    broker = import_module("taskiq_redis").RedisStreamBroker(probe.broker)

    async def single(number: int) -> None:
        emit([number, time.time(), 1])

    return broker, broker.register_task(single, task_name="single")


class TaskiqSender:
    """Sends to it, from an event loop of its own."""

    def __init__(self, probe: Probe) -> None:
        self._loop = asyncio.new_event_loop()
        self._broker, self._task = declared(probe, lambda _: None)
        self._loop.run_until_complete(self._broker.startup())

    def send(self, number: int) -> None:
        self._loop.run_until_complete(self._task.kiq(number))

    def send_later(self, number: int, delay: int) -> bool:
        return False  # that takes its scheduler

    def close(self) -> None:
        self._loop.run_until_complete(self._broker.shutdown())
        self._loop.close()


async def work(probe: Probe) -> None:
    """Work until we are stopped."""
    broker, _ = declared(probe, Reporter().emit)
    broker.is_worker_process = True
    await broker.startup()
    say("ready")
    await import_module("taskiq.api").run_receiver_task(broker, max_async_tasks=probe.threads)


def main(argument: str) -> None:
    """Read the specification, and work."""
    asyncio.run(work(msgspec.json.decode(argument, type=Probe)))


if __name__ == "__main__":
    main(sys.argv[1])

"""Celery as a peer, with or without celery-once, where they are installed."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import Any

import msgspec

from chatbot.bench.load import say
from chatbot.bench.probe import Emit, Probe, Reporter


def app(probe: Probe, emit: Emit) -> tuple[Any, Any]:
    """Return the application and its task. Late acknowledgement, as Dramatiq's: what a dead worker held runs again."""
    made = import_module("celery").Celery("bench", broker=probe.broker)
    made.conf.update(
        task_acks_late=True, worker_prefetch_multiplier=4, worker_redirect_stdouts=False, task_ignore_result=True,
        worker_hijack_root_logger=False, broker_connection_retry_on_startup=True,
        ONCE={"backend": "celery_once.backends.Redis", "settings": {"url": probe.store, "default_timeout": 3_600}},
    )  # fmt: skip
    options: dict[str, Any] = {}
    if probe.side == "celery-once":
        options = {"base": import_module("celery_once").QueueOnce, "once": {"keys": ["number"]}}

    def single(number: int) -> None:
        emit([number, time.time(), 1])

    return made, made.task(name="single", **options)(single)


class CelerySender:
    """Sends to it."""

    def __init__(self, probe: Probe) -> None:
        self._app, self._task = app(probe, lambda _: None)

    def send(self, number: int) -> None:
        self._task.apply_async(kwargs={"number": number})

    def send_later(self, number: int, delay: int) -> bool:
        self._task.apply_async(kwargs={"number": number}, countdown=delay / 1000)
        return True

    def close(self) -> None:
        self._app.close()


def main(argument: str) -> None:
    """Work until we are stopped."""
    probe = msgspec.json.decode(argument, type=Probe)
    made, _ = app(probe, Reporter().emit)
    import_module("celery.signals").worker_ready.connect(lambda **_: say("ready"), weak=False)
    made.worker_main(["worker", "--pool=threads", f"--concurrency={probe.threads}", "--loglevel=ERROR",
                      "--without-gossip", "--without-mingle"])  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])

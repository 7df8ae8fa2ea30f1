"""Dramatiq's worker, with fair shares for the queues and a thread kept free for the most urgent one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.worker import QUEUE_PREFETCH, WORKER_TIMEOUT, WorkerThread

from chatbot.brokers.fair_queue import FairQueue, Reserve
from chatbot.brokers.window import Prefetch

if TYPE_CHECKING:
    from dramatiq import Broker

WEIGHTS = {"high": 8, "default": 3, "low": 1}
RESERVED = "high"


class Worker(dramatiq.Worker):
    """A drop-in for dramatiq.Worker, which works on `queues`, or on all that are declared.

    With two threads or more, one of them takes nothing but `reserved`, if this worker works on that queue: its work
    never waits behind the others, however slow they are.
    """

    def __init__(
        self,
        broker: Broker,
        *,
        queues: Collection[str] | None = None,
        worker_timeout: int = WORKER_TIMEOUT,
        worker_threads: int = 8,
        weights: Mapping[str, int] = WEIGHTS,
        reserved: str = RESERVED,
    ) -> None:
        chosen = set(queues or ())
        super().__init__(broker, queues=chosen or None, worker_timeout=worker_timeout, worker_threads=worker_threads)
        if not QUEUE_PREFETCH:  # else it is what somebody wants
            self.queue_prefetch = Prefetch(self.queue_prefetch)
        works_on = chosen or broker.get_declared_queues()
        self._reserve = worker_threads > 1 and reserved in works_on and len(works_on) > 1
        self.work_queue: Any = FairQueue(weights, reserved)

    def _add_worker(self) -> None:
        if self.workers or not self._reserve:
            super()._add_worker()
            return
        reserve: Any = Reserve(self.work_queue)
        thread = WorkerThread(
            broker=self.broker, consumers=self.consumers, work_queue=reserve, worker_timeout=self.worker_timeout
        )
        thread.start()
        self.workers.append(thread)

"""The worker of a benchmark: its actors tell when they ran, with what.

The benchmark declares the same actors to send to them. Sides are alike but for the library: `stock` is plain Dramatiq
with its own broker, middleware and worker; any other is our broker, guards and worker.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import dramatiq
import msgspec
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from msgspec import Struct

from chatbot import brokers, stores
from chatbot.bench.load import say
from chatbot.brokers.worker import Worker
from chatbot.middleware import Debounced, Idempotent, declare, guarded_stack
from chatbot.stores import Store

Emit = Callable[[Any], None]

#: s between two reports.
REPORT = 0.005


class Probe(Struct, kw_only=True):
    """One side. `wait` (ms) is the window's, `hold` (s) how long each run takes; `extra` queues are declared, no more.

    `only` are the queues that are worked on: all, unless given.
    """

    side: str
    broker: str
    store: str
    guarded: bool = True
    threads: int = 8
    wait: int = 0
    max_items: int = 50
    hold: float = 0.0
    extra: tuple[str, ...] = ()
    only: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Actors:
    """A side's broker and actors: `single` takes a number, `burst` (ours only) is debounced by the item's key."""

    broker: Any
    store: Store | None
    single: Any
    burst: Any


def stock_broker(url: str) -> dramatiq.Broker:
    """Return plain Dramatiq's broker for a URL; on RabbitMQ with confirms, without which messages get lost."""
    return RabbitmqBroker(url=url, confirm_delivery=True) if url.startswith("amqp") else RedisBroker(url=url)


def declared(probe: Probe, emit: Emit) -> Actors:
    """Declare a side's actors."""

    def single(number: int) -> None:
        emit([number, time.time(), 1])
        time.sleep(probe.hold)

    def burst(items: list[dict[str, Any]]) -> None:
        emit([items[0]["key"], time.time(), len(items)])
        time.sleep(probe.hold)

    queue = f"{probe.side}_singles"
    if probe.side == "stock":
        broker = stock_broker(probe.broker)
        for name in probe.extra:
            broker.declare_queue(name)
        return Actors(broker, None, dramatiq.actor(broker=broker, queue_name=queue)(single), None)
    store = stores.create(probe.store, namespace="bench")
    ours = brokers.create(probe.broker, guarded_stack(store))
    for name in probe.extra:
        ours.declare_queue(name)
    policy = Idempotent(key="{number}") if probe.guarded else None
    debounced = Debounced(key=lambda item: str(item["key"]), wait=probe.wait, max_wait=max(10_000, probe.wait),
                          max_items=probe.max_items)  # fmt: skip
    return Actors(
        ours,
        store,
        declare(ours, single, queue_name=queue, idempotent=policy),
        declare(ours, burst, queue_name="bursts", debounced=debounced),
    )


class Reporter:
    """Prints what actors emit, from a thread of its own: an actor only appends to a list."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        threading.Thread(target=self._run, name="reporter", daemon=True).start()

    def emit(self, event: Any) -> None:
        self._events.append(event)

    def _run(self) -> None:
        while True:
            time.sleep(REPORT)
            # As many as are there now: others come meanwhile.
            if events := [self._events.popleft() for _ in range(len(self._events))]:
                print(msgspec.json.encode(events)[1:-1].decode(), flush=True)


def main(argument: str) -> None:
    """Work until we are killed, or told to stop in order by a line on standard input."""
    probe = msgspec.json.decode(argument, type=Probe)
    actors = declared(probe, Reporter().emit)
    worker_class = dramatiq.Worker if probe.side == "stock" else Worker
    worker = worker_class(actors.broker, queues=set(probe.only) or None, worker_threads=probe.threads)
    actors.broker.emit_after("process_boot")
    worker.start()
    say("ready")
    if sys.stdin.readline():
        worker.stop()


if __name__ == "__main__":
    main(sys.argv[1])

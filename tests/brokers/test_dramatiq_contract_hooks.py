"""Ours emit the signals that plain Dramatiq's brokers emit, in their order; of delays, those that still happen."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import dramatiq
import pytest
from dramatiq.broker import MessageProxy
from dramatiq.common import q_name
from dramatiq.middleware import Middleware, SkipMessage

from tests.conformance.broker_harness import BROKERS, Transport
from tests.waiting import wait_until

SIGNALS = [name for name in vars(Middleware) if name.startswith(("before_", "after_"))]


@pytest.fixture(params=["redis", "rabbitmq", "rabbitmq-classic"])
def transport(request: pytest.FixtureRequest) -> Iterator[Transport]:
    """A broker's server, with queues for this test alone."""
    with closing(BROKERS[request.param](request)) as transport:
        yield transport


class Recorder(Middleware):
    """Writes down every signal: of a message by its first argument, all others by what they are about."""

    def __init__(self) -> None:
        self.messages: defaultdict[str, list[str]] = defaultdict(list)
        self.others: Counter[str] = Counter()
        self._lock = threading.Lock()
        for name in SIGNALS:
            setattr(self, name, self._listener(name))

    def _listener(self, name: str) -> Any:
        def listen(broker: dramatiq.Broker, subject: Any = None, *args: Any, **details: Any) -> None:
            with self._lock:
                if isinstance(subject, dramatiq.Message | MessageProxy):
                    self.messages[subject.args[0]].append(name)
                else:
                    kind = "delays" if isinstance(subject, str) and subject != q_name(subject) else ""
                    self.others[f"{name} {kind or type(subject).__name__}"] += 1
            if name == "before_process_message" and subject.args[0] == "skip":
                raise SkipMessage("told to")

        return listen


def run(what: str) -> None:
    if what == "fail":
        raise RuntimeError("told to")


def recorded(transport: Transport, broker: dramatiq.Broker, *whats: str, delay: int | None = None) -> Recorder:
    """Let a worker run these calls, and return what a middleware heard from its broker's beginning to its end."""
    recorder = Recorder()
    broker.add_middleware(recorder)
    queue = transport.queue(type(broker).__module__)
    actor = dramatiq.actor(broker=broker, queue_name=queue, actor_name="run", max_retries=0)(run)
    for what in whats:
        actor.send_with_options(args=(what,), delay=delay)
    with transport.worker(broker):
        wait_until(lambda: all(set(recorder.messages[what]) & {"after_ack", "after_nack"} for what in whats))
    return recorder


def test_every_signal_comes_as_often_and_in_the_order_as_with_plain_dramatiq(transport: Transport) -> None:
    whats = ("succeed", "fail", "skip")
    ours, stock = (recorded(transport, broker, *whats) for broker in (transport.broker(), transport.stock()))
    assert ours.messages == stock.messages
    assert ours.others == stock.others
    assert ours.messages["succeed"] == [
        f"{when}_{what}" for what in ("enqueue", "process_message", "ack") for when in ("before", "after")
    ]


def test_a_delayed_message_is_enqueued_once_and_never_waits_in_a_worker(transport: Transport) -> None:
    ours = recorded(transport, transport.broker(), "late", delay=50)
    once = ("enqueue", "process_message", "ack")
    assert ours.messages["late"] == [f"{when}_{what}" for what in once for when in ("before", "after")]


def test_hooks_see_a_delayed_message_under_the_name_of_its_delay_queue_with_its_time(transport: Transport) -> None:
    seen: list[Any] = []

    class Look(Middleware):
        def before_enqueue(self, broker: dramatiq.Broker, message: Any, delay: int | None) -> None:
            seen.append((message.queue_name, delay, isinstance(message.options.get("eta"), int)))

        after_enqueue = before_enqueue

    queue = transport.queue()
    for broker in (transport.broker(), transport.stock()):
        broker.add_middleware(Look())
        actor = dramatiq.actor(broker=broker, queue_name=queue, actor_name="a")(run)
        actor.send_with_options(args=("late",), delay=50)
    assert seen == [(f"{queue}.DQ", 50, True)] * 4


def test_a_delay_queue_is_known_by_its_name(transport: Transport) -> None:
    known = []
    for broker in (transport.broker(), transport.stock()):
        broker.declare_queue("some")
        known.append((broker.get_declared_queues(), broker.get_declared_delay_queues()))
    assert known == [({"some"}, {"some.DQ"})] * 2

"""Every broker gives back its connections, and goes on when its server comes back."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Iterator

import dramatiq.worker
import pytest
from dramatiq.errors import BrokerConnectionError

from chatbot.middleware import declare
from tests.conformance.broker_harness import MORTAL, Transport
from tests.waiting import wait_until


@pytest.fixture(params=["redis", pytest.param("rabbitmq", marks=pytest.mark.long)])
def mortal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Transport]:
    """A broker whose server may be killed, and workers that look for it ten times as often as they would."""
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.3)
    monkeypatch.setattr(dramatiq.worker, "POST_PROCESS_MESSAGE_RETRY_DELAY_SECS", 0.3)
    transport = MORTAL[request.param](request)
    yield transport
    transport.close()


def open_sockets() -> set[socket.socket]:
    """Return what this process has open. Warnings about the others come too late to blame a test."""
    gc.collect()
    return {thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() != -1}


def test_a_closed_broker_has_no_connections_and_may_be_closed_again(transport: Transport) -> None:
    transport.dead(transport.queue())  # the harness has connections of its own
    before = open_sockets()
    calls: list[str] = []
    broker = transport.broker()
    actor = declare(broker, calls.append, queue_name=transport.queue())
    broker.ping()
    actor.send("from here")
    sender = threading.Thread(target=actor.send, args=("from a thread",))
    sender.start()
    sender.join()
    with transport.worker(broker):
        wait_until(lambda: len(calls) == 2)
    broker.close()
    broker.close()
    assert open_sockets() - before == set()


def test_a_broker_that_was_never_used_can_be_closed(transport: Transport) -> None:
    transport.broker().close()


def test_a_killed_server_loses_nothing_and_its_worker_goes_on(mortal: Transport) -> None:
    calls: list[str] = []
    broker = mortal.broker()
    ours = declare(broker, calls.append, actor_name="ours", queue_name=mortal.queue("ours"))
    others = declare(broker, calls.append, actor_name="others", queue_name=mortal.queue("others"))
    with mortal.worker(broker, queues={ours.queue_name}):
        ours.send("before")
        wait_until(lambda: calls == ["before"])
        broker.enqueue_many([others.message("kept") for _ in range(20)])
        for _ in range(3):
            ours.send_with_options(args=("delayed",), delay=2_000)
        mortal.server.kill()
        with pytest.raises(BrokerConnectionError):
            broker.ping()
        mortal.server.start()
        ours.send("after")
        wait_until(lambda: {"after", "delayed"} <= set(calls) and calls.count("delayed") >= 3, 20)
    assert mortal.waiting(others.queue_name) == 20
    with mortal.worker(broker, queues={others.queue_name}):
        wait_until(lambda: calls.count("kept") >= 20)
    assert calls.count("kept") == 20

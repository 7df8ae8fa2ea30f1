"""What is particular to the RabbitMQ broker: the server confirms every publication."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import Iterator
from typing import Any

import dramatiq.worker
import pika
import pytest
from dramatiq import Worker
from dramatiq.errors import BrokerConnectionError

from chatbot import brokers
from chatbot.middleware import declare, guarded_stack
from chatbot.stores.memory import MemoryStore
from tests.servers import RabbitmqServer
from tests.waiting import wait_until

QUEUES = ("confirmed", "confirmed.DQ", "confirmed.XQ")


@pytest.fixture
def channel(rabbitmq_server: RabbitmqServer) -> Iterator[Any]:
    """A channel that looks on."""
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url))) as connection:
        channel = connection.channel()
        yield channel
        for name in QUEUES:
            channel.queue_delete(name)


@pytest.fixture
def broker(rabbitmq_server: RabbitmqServer) -> Iterator[Any]:
    broker = brokers.create(rabbitmq_server.url, guarded_stack(MemoryStore()))
    yield broker
    broker.close()


@contextlib.contextmanager
def running(broker: Any) -> Iterator[None]:
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    try:
        yield
    finally:
        worker.stop()


def test_a_publication_to_a_deleted_queue_declares_it_again(broker: Any, channel: Any) -> None:
    calls: list[str] = []
    actor = declare(broker, calls.append, queue_name="confirmed")
    actor.send("lost with the queue")
    for name in QUEUES:
        channel.queue_delete(name)
    actor.send("hello")
    with running(broker):
        wait_until(lambda: calls == ["hello"])


def test_a_publication_that_the_server_refuses_is_an_error(broker: Any, channel: Any) -> None:
    channel.queue_declare("confirmed", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    actor = declare(broker, print, queue_name="confirmed")
    broker.queues_pending.clear()  # it would be declared with other arguments
    actor.send("first")
    with pytest.raises(BrokerConnectionError):
        actor.send("second")


def test_messages_and_queues_are_durable(broker: Any, channel: Any) -> None:
    declare(broker, print, queue_name="confirmed").send("hello")
    for name in QUEUES:
        channel.queue_declare(name, passive=True, durable=True)
    properties = channel.basic_get("confirmed", auto_ack=True)[1]
    assert properties.delivery_mode == pika.DeliveryMode.Persistent.value


def test_what_cannot_be_decoded_becomes_a_dead_letter(broker: Any, channel: Any) -> None:
    calls: list[str] = []
    actor = declare(broker, calls.append, queue_name="confirmed")
    actor.send("before")
    channel.basic_publish("", "confirmed", b"\x00 no message")
    actor.send("after")
    with running(broker):
        wait_until(lambda: len(calls) == 2)
        wait_until(lambda: channel.basic_get("confirmed.XQ", auto_ack=True)[2] == b"\x00 no message")


def test_a_worker_whose_queue_was_deleted_goes_on_and_keeps_no_connection(
    broker: Any, channel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dramatiq.worker, "CONSUMER_RESTART_DELAY_SECS", 0.1)
    calls: list[str] = []
    before = open_sockets()
    actor = declare(broker, calls.append, queue_name="confirmed")
    with running(broker):
        actor.send("before")
        wait_until(lambda: calls == ["before"])
        for name in QUEUES:
            channel.queue_delete(name)
        actor.send("after")
        wait_until(lambda: calls == ["before", "after"])
    broker.close()
    assert open_sockets() - before == set()


def open_sockets() -> set[socket.socket]:
    gc.collect()
    return {thing for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() != -1}

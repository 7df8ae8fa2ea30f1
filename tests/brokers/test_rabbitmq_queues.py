"""What each version of RabbitMQ is asked for, and how a queue that is older than its server is met."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from dramatiq.common import dq_name, xq_name

from chatbot.brokers.rabbitmq_nodes import Nodes
from chatbot.brokers.rabbitmq_queues import QueueMismatch, declarations, declare
from tests.servers import RabbitmqServer

QUEUE = "older"
NAMES = [xq_name(QUEUE), QUEUE, dq_name(QUEUE)]


@pytest.fixture
def connection(rabbitmq_server: RabbitmqServer) -> Iterator[Any]:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_server.url))) as connection:
        yield connection
        for name in NAMES:
            connection.channel().queue_delete(name)


@pytest.mark.parametrize("version", ["3.10.8", "3.13.7", "4.0.1", "4.1.0", "4.3.5", ""])
def test_every_version_is_asked_for_what_it_knows(version: str) -> None:
    """RabbitMQ 4 counts deliveries, up to 20, unless it is told not to; RabbitMQ 3 takes the same words for none."""
    ends = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": xq_name(QUEUE)}
    safe = {"x-queue-type": "quorum", "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
    ttl = {"x-message-ttl": 7 * 24 * 3_600_000}
    free = {"x-delivery-limit": -1} if version.startswith("4") else {}
    dead, work = {**ttl, "x-queue-type": "quorum", **free}, {**ends, **safe, **free}
    assert declarations(QUEUE, "quorum", None, version) == dict(zip(NAMES, [dead, work, work], strict=True))
    assert declarations(QUEUE, "classic", None, version) == dict(zip(NAMES, [ttl, ends, ends], strict=True))


def test_a_queue_has_a_place_for_its_dead_letters_before_it_has_messages() -> None:
    assert list(declarations(QUEUE, "quorum", None, "4.1.0")) == NAMES


def test_a_queue_that_is_older_than_its_server_is_kept_with_its_limit(
    connection: Any, caplog: pytest.LogCaptureFixture
) -> None:
    declare(connection.channel(), QUEUE, "quorum", None, "3.13.7")
    assert caplog.text == ""
    declare(connection.channel(), QUEUE, "quorum", None, "4.1.0")
    assert [f"the queue {name} was declared before" in caplog.text for name in NAMES] == [True] * 3


def test_an_older_queue_of_another_type_is_still_a_mismatch(connection: Any) -> None:
    declare(connection.channel(), QUEUE, "classic", None, "3.13.7")
    with pytest.raises(QueueMismatch, match=r"'older\.XQ'"):
        declare(connection.channel(), QUEUE, "quorum", None, "4.1.0")


def test_frames_are_as_large_as_rabbitmq_4_1_asks_for() -> None:
    (node,) = Nodes([pika.ConnectionParameters()]).shuffled("test")
    assert node.frame_max >= 8_192

"""The queues of Dramatiq on RabbitMQ: one for work, one for the delays of plain producers, one for dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pika.exceptions
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.common import dq_name, xq_name
from dramatiq.errors import BrokerError

from chatbot.brokers import rabbitmq_delays as delays
from chatbot.errors import ConfigurationError

QueueType = Literal["quorum", "classic"]

_MISMATCH = (
    "the queue {name!r} exists with other settings than those of {kind} queues, so nothing was declared and nothing "
    "deleted. Either set the queue type to what the queue is (CHATBOT_RABBITMQ_QUEUES=quorum or classic), or let its "
    "messages run out, delete it (rabbitmqctl delete_queue {name} --if-empty) and start again. The server says: {text}"
)


class QueueMismatch(ConfigurationError, BrokerError):
    """A queue exists with another type or other arguments."""


def arguments(queue: str, kind: QueueType, max_priority: int | None = None) -> dict[str, Any]:
    """Return the arguments of a work queue and its delay queue. Those of a classic one are plain Dramatiq's."""
    found: dict[str, Any] = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": xq_name(queue)}
    if kind == "quorum":
        found |= {
            "x-queue-type": "quorum",
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",  # what the strategy asks for
        }
    elif max_priority:
        found["x-max-priority"] = max_priority
    return found


def dead_letter_arguments(kind: QueueType) -> dict[str, Any]:
    """Return the arguments of a queue of dead letters."""
    return {"x-message-ttl": DEAD_MESSAGE_TTL, **({"x-queue-type": "quorum"} if kind == "quorum" else {})}


def unlimited(version: str) -> dict[str, Any]:
    """Return what lets a message be redelivered any number of times: each worker that stops counts as a delivery.

    RabbitMQ 4 dead-letters after 20 (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling); before,
    there is no limit unless one is set, and a negative one is refused.
    """
    major = version.partition(".")[0]
    return {"x-delivery-limit": -1} if major.isdigit() and int(major) >= 4 else {}


def declare(channel: Any, queue: str, kind: QueueType, max_priority: int | None, version: str) -> None:
    """Declare a queue with its companions. Raises QueueMismatch if one of them exists and is different."""
    work = arguments(queue, kind, max_priority) | (unlimited(version) if kind == "quorum" else {})
    # The dead letters first: whatever is rejected must have a place to go.
    for name, wanted in (
        (xq_name(queue), dead_letter_arguments(kind)),
        (queue, work),
        (dq_name(queue), work),
    ):
        with _mismatch(name, kind):
            channel.queue_declare(name, durable=True, arguments=wanted)
    for name in (queue, dq_name(queue)):
        delays.lead_to(channel, name)


@contextmanager
def _mismatch(name: str, kind: str) -> Iterator[None]:
    try:
        yield
    except pika.exceptions.ChannelClosedByBroker as exc:
        if exc.reply_code != 406:
            raise
        raise QueueMismatch(_MISMATCH.format(name=name, kind=kind, text=exc.reply_text)) from None

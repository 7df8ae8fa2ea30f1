"""The queues of Dramatiq on RabbitMQ: one for work, one for the delays of plain producers, one for dead letters."""

from __future__ import annotations

import logging
from typing import Any, Literal

import pika.exceptions
from dramatiq.brokers.rabbitmq import DEAD_MESSAGE_TTL
from dramatiq.common import dq_name, xq_name
from dramatiq.errors import BrokerError

from chatbot.brokers import rabbitmq_delays as delays
from chatbot.errors import ConfigurationError

logger = logging.getLogger(__name__)

QueueType = Literal["quorum", "classic"]

DELIVERY_LIMIT = "x-delivery-limit"
PRECONDITION_FAILED = 406

_MISMATCH = (
    "the queue {name!r} exists with other settings than those of {kind} queues, so nothing was declared and nothing "
    "deleted. Either set the queue type to what the queue is (CHATBOT_RABBITMQ_QUEUES=quorum or classic), or let its "
    "messages run out, delete it (rabbitmqctl delete_queue {name} --if-empty) and start again. The server says: {text}"
)
_LIMITED = (
    "the queue {name} was declared before the server was RabbitMQ 4, which makes a message a dead letter when 20 "
    "workers have died with it. To be rid of that limit, let its messages run out and delete the queue"
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


def unlimited(kind: QueueType, version: str) -> dict[str, Any]:
    """Return what lets a message be delivered any number of times: each worker that dies counts as a delivery, and so
    does each look at a dead letter.

    RabbitMQ 4 gives up after 20 (https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling), and only an
    argument of the queue is sure to change that. Before, there is no limit unless one is set, and -1 is taken for 0.
    """
    major = version.partition(".")[0]
    return {DELIVERY_LIMIT: -1} if kind == "quorum" and major.isdigit() and int(major) >= 4 else {}


def declarations(queue: str, kind: QueueType, max_priority: int | None, version: str) -> dict[str, dict[str, Any]]:
    """Return what a server of some version is asked for: a queue and its companions with their arguments, in order."""
    free = unlimited(kind, version)
    work = arguments(queue, kind, max_priority) | free
    # The dead letters first: whatever is rejected must have a place to go.
    return {xq_name(queue): dead_letter_arguments(kind) | free, queue: work, dq_name(queue): work}


def declare(channel: Any, queue: str, kind: QueueType, max_priority: int | None, version: str) -> None:
    """Declare a queue with its companions. Raises QueueMismatch if one of them exists and is different."""
    for name, wanted in declarations(queue, kind, max_priority, version).items():
        channel = _declare(channel, name, wanted, kind)
    for name in (queue, dq_name(queue)):
        delays.lead_to(channel, name)


def _declare(channel: Any, name: str, wanted: dict[str, Any], kind: str) -> Any:
    """Declare one queue, and return a channel that is open afterwards."""
    try:
        channel.queue_declare(name, durable=True, arguments=wanted)
        return channel
    except pika.exceptions.ChannelClosedByBroker as exc:
        if exc.reply_code != PRECONDITION_FAILED:
            raise
        if DELIVERY_LIMIT not in wanted:
            raise QueueMismatch(_MISMATCH.format(name=name, kind=kind, text=exc.reply_text)) from None
    # It may be older than the server.
    older = {key: value for key, value in wanted.items() if key != DELIVERY_LIMIT}
    channel = _declare(channel.connection.channel(), name, older, kind)
    logger.warning(_LIMITED.format(name=name))
    return channel

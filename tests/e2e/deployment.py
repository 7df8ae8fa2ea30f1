"""Deployments for tests: the ones that `chatbot bench chaos` runs, see chatbot/bench/deployment.py."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from chatbot.bench.deployment import Deployment, Process
from chatbot.bench.partners import Partners
from chatbot.bench.rabbitmq_server import RabbitmqServer
from chatbot.bench.servers import RedisServer

__all__ = ["Deployment", "Process", "deployed", "message", "stays", "texts"]


def message(conversation: str, number: int) -> dict[str, Any]:
    """Return one message of the generic channel."""
    return {
        "message_id": f"{conversation}-{number}",
        "conversation_id": conversation,
        "sender_id": f"user-of-{conversation}",
        "text": f"line {number}",
    }


def texts(turn: Any) -> list[str]:
    """Return the texts of the messages that a responder was asked about."""
    return [item["text"] for item in turn.body["messages"]]


def stays(holds: Callable[[], bool], seconds: float) -> bool:
    """Say whether something goes on holding for so long: a second reply would come within it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not holds():
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def deployed(store: RedisServer, broker: RedisServer | RabbitmqServer, **settings: str) -> Iterator[Deployment]:
    """Run a deployment, whose store must hold no key without a time to live in the end."""
    with Partners() as partners, Deployment(store, broker, partners, settings) as deployment:
        yield deployment
        assert deployment.keys_without_ttl() == []

"""What became of a batch, in the words of whoever sent it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dramatiq.errors import BrokerError, ConnectionClosed
from dramatiq.message import Message

from chatbot.brokers.admission import Publication
from chatbot.brokers.rabbitmq_publisher import Fate


def publication(
    messages: list[Message[Any]],
    fates: Sequence[Fate],
    error: BaseException | str | None,
    refusal: BaseException | None,
) -> Publication:
    """Say what of a batch is published, what may be, and what is not."""
    good = next((i for i, fate in enumerate(fates) if fate != "confirmed"), len(fates))
    if good == len(fates):
        return Publication(messages, 0 if refusal is None else 1, refusal)
    # What comes after the first failure and may be in a queue must stay claimed.
    doubtful = [i for i, fate in enumerate(fates) if i == good or (i > good and fate in ("confirmed", "unknown"))]
    return Publication(messages[:good], doubtful[-1] + 1 - good, closed(error, fates[good]))


def closed(error: BaseException | str | None, fate: str = "unknown") -> BaseException:
    """Return the error to raise; Dramatiq reconnects after its own only."""
    if isinstance(error, BrokerError):
        return error
    return ConnectionClosed(error or f"the message is {fate}")

"""Responders for benchmarks."""

from __future__ import annotations

import asyncio
import time

from chatbot.model import TurnRequest

#: s that a slow answer takes.
SLOW = 5.0


def names(request: TurnRequest) -> str:
    """Answer with the ids of the messages that were asked about: the receiver can count them."""
    return " ".join(message.message_id for message in request.messages)


def slow(request: TurnRequest) -> str:
    """Take long, as a model does, and keep the thread; those who ask for it are answered at once."""
    if request.messages[0].text != "at once":
        time.sleep(SLOW)
    return names(request)


async def slow_async(request: TurnRequest) -> str:
    """Take long on the event loop."""
    if request.messages[0].text != "at once":
        await asyncio.sleep(SLOW)
    return names(request)

"""Waiting for a bell that every sleeping pump of a cluster hears.

A blocking pop cannot span the slots of many partitions, so there the scripts publish where elsewhere they push a token.
What is published to nobody is gone: so nobody sleeps long.
"""

from __future__ import annotations

from typing import Any

from chatbot.stores.clients import Servers

#: s. The longest sleep, for the bell may be missed: before the first sleep, and while a node is away.
LONGEST = 1.0


class Bell:
    """Sleeps until something is published to a channel. For one thread, on a connection of its own."""

    def __init__(self, servers: Servers, channel: str) -> None:
        self._servers, self._channel = servers, channel
        self._pubsub: Any = None

    def sleep(self, seconds: float) -> bool:
        """Say whether it rang within this time, or since the last sleep. Raises what the client raises."""
        try:
            if self._pubsub is None:
                self._subscribe()
            return self._heard(min(seconds, LONGEST))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the connection back."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            pubsub.close()

    def _subscribe(self) -> None:
        self._pubsub = self._servers.every()[0].pubsub(ignore_subscribe_messages=True)
        self._pubsub.subscribe(self._channel)
        self._pubsub.get_message(timeout=LONGEST)

    def _heard(self, seconds: float) -> bool:
        if self._pubsub.get_message(timeout=seconds) is None:
            return False
        while self._pubsub.get_message() is not None:
            pass  # one look answers all of them
        return True

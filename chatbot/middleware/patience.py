"""Waiting for a store that is down, for as long as the worker runs."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from chatbot.errors import StoreUnavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Patience:
    """Repeats a verb of the store until it answers. Verbs may be sent twice, so an unknown outcome is no obstacle."""

    def __init__(self) -> None:
        self._stopping = threading.Event()

    def begin(self) -> None:
        """The worker has started."""
        self._stopping.clear()

    def end(self) -> None:
        """The worker stops: whoever waits gives up."""
        self._stopping.set()

    def until_answered(self, verb: Callable[[], T]) -> T:
        """Return the verb's answer. Raises StoreUnavailable if the worker stops before there is one."""
        pauses = _pauses()
        while True:
            try:
                return verb()
            except StoreUnavailable as exc:
                if self._stopping.wait(next(pauses)):
                    raise
                logger.warning("waiting for the store: %s", exc)


def _pauses() -> Iterator[float]:
    """Yield growing pauses in s, with jitter: a store that comes back is not met by everybody at once."""
    pause = 0.05
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(pause * 2, 2.0)

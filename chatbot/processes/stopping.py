"""Being told to stop: SIGTERM and SIGINT, which may come at any moment, also before anybody waits for them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import FrameType


class StopSignals:
    """Hears SIGTERM and SIGINT from now on; of those that come after the first, `again` is told."""

    def __init__(self, again: Callable[[], object] = lambda: None) -> None:
        # Its `put` may interrupt its own `get`. An Event's `set` may not: if the signal comes while the main thread
        # holds the Event's lock in `wait`, it waits for itself for ever.
        self._told: SimpleQueue[int] = SimpleQueue()
        self._again, self._heard = again, False
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._hear)

    def wait(self) -> None:
        """Return when the first has come."""
        while not self._heard:
            # With a time-out, as one that another thread is given is heard only when this one runs again.
            with suppress(Empty):
                self._told.get(timeout=1)

    def _hear(self, signum: int, _frame: FrameType | None) -> None:
        if self._heard:
            self._again()
        self._heard = True
        self._told.put(signum)

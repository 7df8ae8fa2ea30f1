"""One look for all who watch: at most one every `pause` seconds, and none when nobody asks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from anyio.to_thread import run_sync
from dramatiq.errors import BrokerConnectionError

from chatbot.admin.language import mark
from chatbot.errors import StoreUnavailable

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Shared(Generic[T]):
    """Looks with a function that may block. The newest answer stays when a look fails; `error` tells then why, as a
    text of the catalogue."""

    def __init__(self, look: Callable[[], T], *, pause: float, patience: float) -> None:
        self._look, self._pause, self._patience = look, pause, patience
        self._task: asyncio.Task[None] | None = None
        self._at = 0.0
        self.latest: T | None = None
        self.error = ""

    async def get(self) -> T | None:
        """Return the newest answer: one that is older than the pause only if a look takes longer than the patience."""
        if self._task is None or (self._task.done() and time.monotonic() - self._at >= self._pause):
            self._task = asyncio.create_task(self._refresh())
        await asyncio.wait({self._task}, timeout=self._patience)
        return self.latest

    async def _refresh(self) -> None:
        self._at = time.monotonic()
        try:
            self.latest, self.error = await run_sync(self._look), ""
        except (StoreUnavailable, BrokerConnectionError) as exc:
            # Not the error itself: it may quote an address.
            self.error = mark("it does not answer")
            logger.warning("the console cannot look: %s", exc)
        except Exception:
            self.error = mark("looking failed, see the log")
            logger.exception("the console cannot look")

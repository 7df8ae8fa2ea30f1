"""/health says that the process is up; /ready whether the ledger answers, so whether traffic should come here."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response

from chatbot.web.answers import answer
from chatbot.web.problems import STORE_RETRY_AFTER, unavailable

logger = logging.getLogger(__name__)

#: Looks at what the service stands on: `{"store": "ok", "broker": "down: ..."}`. It may block.
Look = Callable[[], Mapping[str, str]]
NO_STORE = {"cache-control": "no-store"}


class Readiness:
    """Shares one look among all probes: however many there are, at most one look runs, and about one a second."""

    def __init__(self, look: Look, *, fresh_for: float = 1.0, patience: float = 5.0) -> None:
        """A result holds for `fresh_for` s; a probe waits `patience` s for a look that hangs."""
        self._look = look
        self._fresh_for = fresh_for
        self._patience = patience
        self._stale_at = 0.0
        self._looking: asyncio.Task[Mapping[str, str]] | None = None

    async def ready(self, _: Request) -> Response:
        """Answer 200 while the store answers. A broker that is down is only reported: the ledger holds its work."""
        state = await self._state()
        if state.get("store") == "ok":
            return answer({"status": "ready", **state}, headers=NO_STORE)
        response = unavailable("the ledger does not answer", STORE_RETRY_AFTER, state)
        response.headers.update(NO_STORE)
        return response

    async def _state(self) -> Mapping[str, str]:
        if self._looking is None or (self._looking.done() and time.monotonic() >= self._stale_at):
            self._looking = asyncio.create_task(self._look_once())
        # Not wait_for: it would cancel the look that other probes wait for.
        await asyncio.wait([self._looking], timeout=self._patience)
        if self._looking.done():
            return self._looking.result()
        return {"store": f"down: no answer within {self._patience:g} s"}

    async def _look_once(self) -> Mapping[str, str]:
        try:
            return await asyncio.to_thread(self._look)
        except Exception:
            logger.exception("the readiness of the service could not be found out")
            return {"store": "unknown: the look itself failed; see the log"}
        finally:
            self._stale_at = time.monotonic() + self._fresh_for


async def health(_: Request) -> Response:
    """Answer 200: this process serves requests."""
    return answer({"status": "ok"}, headers=NO_STORE)

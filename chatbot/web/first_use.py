"""Routes that are made at their first use: a process is ready, and takes webhooks, without what only people look at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from anyio.to_thread import run_sync
from starlette.routing import BaseRoute, Router
from starlette.types import Receive, Scope, Send

Make = Callable[[], Sequence[BaseRoute]]


class FirstUse:
    """An application of routes that `make` returns. It is called in a thread, once: webhooks go on meanwhile."""

    def __init__(self, make: Make) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._router: Router | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what `make` raises is that request's error, and the next one tries again."""
        router = self._router or await self._made()
        await router(scope, receive, send)

    async def _made(self) -> Router:
        async with self._making:
            if self._router is None:
                await run_sync(self._make_router)
        assert self._router is not None
        return self._router

    def _make_router(self) -> None:
        self._router = Router(self._make())  # here, as whoever asked may have gone meanwhile

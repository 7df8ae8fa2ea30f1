"""The Starlette application: webhooks, health, and whatever routes the service adds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route

from chatbot.channels.base import Channel
from chatbot.web.committer import Admit, Committer
from chatbot.web.correlation import Correlation
from chatbot.web.first_use import FirstUse, Make
from chatbot.web.problems import HANDLERS
from chatbot.web.readiness import Look, Readiness, health
from chatbot.web.short_way import ShortWay
from chatbot.web.webhooks import PATH, Limits, Webhooks

Hook = Callable[[], object]


def create_app(
    *,
    channels: Mapping[str, Channel],
    admit: Admit,
    ready: Look,
    on_startup: Sequence[Hook] = (),
    on_shutdown: Sequence[Hook] = (),
    extra_routes: Sequence[BaseRoute] = (),
    pages: Make | None = None,
    limits: Limits | None = None,
    max_backlog: int = 5_000,
) -> Starlette:
    """Build the application.

    `ready` and the hooks may block: they run in threads. `admit` takes messages of many requests and returns an outcome
    for each; it must not block, and raises StoreUnavailable when the ledger cannot be reached. Hooks run in order,
    those of the shutdown after the last admission, each whether or not the one before it failed. Routes come before
    `extra_routes`, and these before what `pages` makes once it is asked for.
    """
    committer = Committer(admit, max_backlog=max_backlog)
    webhooks = Webhooks(channels, committer, limits or Limits())
    routes = [
        Route(PATH + "{channel}", webhooks, methods=["GET", "POST"]),
        Route("/health", health),
        Route("/ready", Readiness(ready).ready),
        *extra_routes,
    ]
    lifespan = _lifespan(committer, on_startup, on_shutdown)
    every = [Middleware(Correlation), Middleware(ShortWay, webhooks)]
    app = Starlette(routes=routes, middleware=every, exception_handlers=dict(HANDLERS), lifespan=lifespan)
    if pages is not None:
        app.router.default = FirstUse(pages)
    return app


def _lifespan(
    committer: Committer, on_startup: Sequence[Hook], on_shutdown: Sequence[Hook]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            # The stack unwinds from the end, also when a startup hook fails.
            for hook in reversed(on_shutdown):
                stack.push_async_callback(anyio.to_thread.run_sync, hook)
            for hook in on_startup:
                await anyio.to_thread.run_sync(hook)
            await committer.start()
            stack.push_async_callback(committer.stop)
            yield

    return lifespan

"""The short way of a delivery: a POST to one of our channels goes past Starlette's routing and its layers, which cost
more than proving and reading it (`chatbot bench accept`). Everything else goes through them: probes, handshakes, pages,
and channels that there are not.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from chatbot.web.problems import handler_of
from chatbot.web.webhooks import PATH, Webhooks


class ShortWay:
    """Answers deliveries, and hands everything else to the layers behind it."""

    def __init__(self, app: ASGIApp, webhooks: Webhooks) -> None:
        self._app, self._webhooks = app, webhooks
        self._channels = {PATH + name: channel for name, channel in webhooks.channels.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        channel = self._channels.get(scope["path"]) if scope.get("method") == "POST" else None
        if channel is None:
            await self._app(scope, receive, send)
            return
        try:
            response = await self._webhooks.deliver(channel, scope, receive)
        except Exception as exc:
            if (handler := handler_of(exc)) is None:
                raise  # Starlette's outermost layer answers, and the server logs it
            response = await handler(Request(scope, receive), exc)
        await response(scope, receive, send)

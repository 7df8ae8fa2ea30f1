"""The span of a webhook, in which its messages are admitted."""

from __future__ import annotations

from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chatbot.traceparent import current
from chatbot.tracing.spans import Tracing, read

#: Pages, metrics and health are nobody's burst.
_PATH = "/webhooks/"
#: A sender's own id of a request.
_BROUGHT = {"traceparent", "x-request-id"}


class Traced:
    """Opens a span for every webhook, in the trace of its sender if that has one."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app, self._tracing = app, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or not scope["path"].startswith(_PATH) or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        about = {"http.request.method": "POST", "http.route": "/webhooks/{channel}"}
        with self._tracing.span("POST /webhooks/{channel}", SpanKind.SERVER, read(headers), attributes=about) as span:
            if not headers.keys() & _BROUGHT:  # then the log's id is the trace's
                scope = {**scope, "headers": [*scope["headers"], (b"traceparent", current.get().encode())]}

            async def send_and_note(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                await send(message)

            await self._app(scope, receive, send_and_note)
            # Found further inside, for the log: whoever has a line finds the trace by it.
            span.set_attribute("chatbot.correlation_id", scope.get("correlation_id", ""))

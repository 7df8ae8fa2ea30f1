"""One id from the webhook to the reply: who asks may bring it, else it is made here; the answer tells it.

Every line that is logged inside a request has it, and so have the messages that the request brings.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Awaitable, Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars

#: Of the request's scope: the id.
KEY = "correlation_id"
#: Of the answer.
HEADER = "x-request-id"
#: W3C Trace Context, 3.2.2; version ff and a trace id of zeros are invalid.
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{7,63}")
#: Ids are no secrets, and asking the system for each costs a tenth of an answer. Seeded by it, also after a fork.
_ids = random.Random()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.seed)


class Correlation:
    """Gives every request its id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        found = scope[KEY] = correlation_id(scope["headers"])
        # The server runs each request in a context of its own, so nobody has to take this back.
        bind_contextvars(correlation_id=found)
        told = (HEADER.encode(), found.encode())

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), told]
            return send(message)

        await self.app(scope, receive, send_with_id)


def correlation_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the trace id of `traceparent`, else `x-request-id`, if it is well-formed; else a new id."""
    brought = b""
    for name, value in headers:
        if name == b"traceparent" and (match := _TRACEPARENT.fullmatch(value)):
            return match[1].decode()
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            brought = value
    # It lies beside every message in the store: short, but never the same twice.
    return brought.decode() or f"{_ids.getrandbits(64):016x}"

"""Where replies go in development: an endpoint that takes the generic channel's replies and shows them.

It proves signatures like any receiver of replies should, and keeps the newest ones in memory.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chatbot.channels.standard_webhooks import read_secrets, verify
from chatbot.web.problems import problem

logger = logging.getLogger(__name__)

PATH = "/dev/replies"
MOST = 1_000


class Outbox:
    """The newest replies, oldest first."""

    def __init__(self, secret: str) -> None:
        self._keys = read_secrets(secret)
        self._replies: deque[dict[str, Any]] = deque(maxlen=MOST)

    def routes(self) -> list[Route]:
        """Return the endpoint: POST takes a reply, GET shows those of `?conversation_id=`, or all."""
        return [Route(PATH, self.endpoint, methods=["GET", "POST"])]

    async def endpoint(self, request: Request) -> Response:
        """Take or show replies."""
        if request.method == "POST":
            return await self._take(request)
        wanted = request.query_params.get("conversation_id")
        found = [reply for reply in self._replies if wanted in (None, reply["conversation_id"])]
        return JSONResponse({"replies": found})

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        verify(self._keys, request.headers, body)
        try:
            reply = msgspec.json.decode(body, type=dict[str, Any])
        except msgspec.MsgspecError as exc:
            return problem(400, str(exc))
        if all(reply["reply_id"] != known["reply_id"] for known in self._replies):
            self._replies.append(reply)
            logger.info("reply to %s: %s", reply["conversation_id"], reply["text"])
        return Response(status_code=204)

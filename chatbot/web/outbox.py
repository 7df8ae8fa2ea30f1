"""Where replies go when no provider is at hand: it takes what channels send, proves it, and shows it.

It stands in for the receiver of the generic channel, and for WhatsApp's Graph API. Like a person's phone it takes a
repeated reply as well, so that one can see that it was repeated.
"""

from __future__ import annotations

import itertools
import logging
import time
import uuid
from collections import deque
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chatbot.channels.standard_webhooks import read_secrets, verify
from chatbot.errors import SignatureInvalid
from chatbot.web.problems import problem

logger = logging.getLogger(__name__)

PATH = "/dev/replies"
#: What CHATBOT_WHATSAPP_GRAPH_URL ends with.
GRAPH_PATH = "/dev/whatsapp"
MOST = 1_000

Entry = dict[str, Any]


class Outbox:
    """The newest replies, oldest first, each with the number at which it came.

    `secret` proves the generic channel's replies. `access_token` proves WhatsApp's; without one, any will do.
    """

    def __init__(self, secret: str, *, access_token: str = "") -> None:
        self._keys = read_secrets(secret) if secret else ()
        self._access_token = access_token
        self._replies: deque[Entry] = deque(maxlen=MOST)
        # Numbers begin at the time in µs, so that they also grow across restarts: who asks for those after a number
        # never misses the first ones of the next process.
        self._numbers = itertools.count(time.time_ns() // 1000)
        #: Why the newest reply that could not be proved was refused.
        self.refusal = ""

    def routes(self) -> list[Route]:
        """Return the endpoints in development. GET shows replies: of `?conversation_id=`, `?after=` a number, or all;
        POST takes one; DELETE forgets those of a conversation."""
        return [
            Route(PATH, self.show, methods=["GET"]),
            Route(PATH, self.take, methods=["POST"]),
            Route(PATH, self.erase, methods=["DELETE"]),
            Route(GRAPH_PATH + "/{account_id}/messages", self.take_whatsapp, methods=["POST"]),
        ]

    def after(self, number: int) -> list[Entry]:
        """Return the replies that came after a number."""
        return [reply for reply in self._replies if reply["number"] > number]

    async def show(self, request: Request) -> Response:
        """Answer with replies."""
        wanted, after = request.query_params.get("conversation_id"), request.query_params.get("after", "0")
        if not after.isdecimal():
            return problem(400, "after must be a number")
        found = [reply for reply in self.after(int(after)) if wanted in (None, reply["conversation_id"])]
        return JSONResponse({"replies": found})

    async def erase(self, request: Request) -> Response:
        """Forget the replies of a conversation."""
        unwanted = request.query_params.get("conversation_id")
        left = [reply for reply in self._replies if reply["conversation_id"] != unwanted]
        erased = len(self._replies) - len(left)
        self._replies = deque(left, maxlen=MOST)
        return JSONResponse({"erased": erased})

    async def take(self, request: Request) -> Response:
        """Take a reply of the generic channel."""
        body = await request.body()
        try:
            verify(self._keys, request.headers, body)
        except SignatureInvalid as exc:
            self.refusal = str(exc)
            return problem(401, str(exc))
        try:
            self._keep("generic", msgspec.json.decode(body, type=dict[str, Any]))
        except (msgspec.MsgspecError, KeyError) as exc:
            return problem(400, f"not a reply: {exc!r}")
        return Response(status_code=204)

    async def take_whatsapp(self, request: Request) -> Response:
        """Take a message as Meta's `POST /{phone_number_id}/messages` does."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not token or self._access_token not in ("", token):
            self.refusal = "the access token is not ours"
            return _graph_error(401, 190, self.refusal)
        try:
            message = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except msgspec.MsgspecError as exc:
            return _graph_error(400, 100, str(exc))
        if message.get("status") == "read":  # a receipt, and perhaps a typing indicator
            return JSONResponse({"success": True})
        to = message.get("to") or message.get("recipient")
        if message.get("messaging_product") != "whatsapp" or not isinstance(to, str):
            return _graph_error(400, 100, "messaging_product must be whatsapp, and to or recipient must be given")
        entry = _whatsapp_reply(message, to) | {"account_id": request.path_params["account_id"]}
        self._keep("whatsapp", entry)
        contact, sent = {"input": to, "wa_id": to}, {"id": f"wamid.{uuid.uuid4().hex}"}
        return JSONResponse({"messaging_product": "whatsapp", "contacts": [contact], "messages": [sent]})

    def _keep(self, channel: str, reply: Entry) -> None:
        identity = (channel, reply["reply_id"])
        repeated = any((known["channel"], known["reply_id"]) == identity for known in self._replies)
        entry = {"number": next(self._numbers), "channel": channel, "repeated": repeated}
        again = " (again)" if repeated else ""
        logger.info("reply to %s%s", reply["conversation_id"], again, extra={"text": reply["text"]})
        self._replies.append(reply | entry)


def _whatsapp_reply(message: Entry, to: str) -> Entry:
    """Return a WhatsApp message as the generic channel would show it. Our channel leaves the reply's id, which is its
    turn's id and its position, where Meta would give it back in statuses."""
    callback = message.get("biz_opaque_callback_data")
    turn, _, position = callback.rpartition("_") if isinstance(callback, str) else ("", "", "")
    known = bool(turn) and position.isdecimal()
    return {
        "reply_id": callback or f"unnamed-{uuid.uuid4().hex}",
        "turn_id": turn if known else None,
        "conversation_id": to,
        "position": int(position) if known else None,
        "text": _whatsapp_text(message),
    }


def _whatsapp_text(message: Entry) -> str:
    content = message.get(str(message.get("type")))
    found = (content.get("body") or content.get("caption")) if isinstance(content, dict) else None
    return found if isinstance(found, str) else ""


def _graph_error(status: int, code: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "OAuthException", "code": code}}, status)

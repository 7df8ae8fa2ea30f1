"""POST and GET /webhooks/{channel}: prove, read, admit, answer.

A 2xx says that every message of the body is in the ledger. Whatever else happens, the sender may send the same body
again: what was admitted already is a duplicate then.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import anyio.to_thread
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from chatbot import traceparent
from chatbot.channels.base import Channel, Parsed
from chatbot.errors import Malformed
from chatbot.model import InboundMessage
from chatbot.web.answers import answer
from chatbot.web.bodies import read_body
from chatbot.web.committer import Committer
from chatbot.web.correlation import KEY
from chatbot.web.problems import problem, unavailable

logger = logging.getLogger(__name__)

#: Before a channel's name.
PATH: Final = "/webhooks/"
MEBIBYTE: Final = 1_048_576
#: Bodies above this are proved and read in a thread; for smaller ones the trip to the thread costs more.
INLINE_BYTES: Final = 65_536
#: Seconds after which a sender should try a conversation again that has too much buffered.
OVERFLOW_RETRY_AFTER: Final = 5
#: What is in the ledger, or has changed what is.
_ACCEPTED: Final = frozenset({"absorbed", "enqueued", "amended", "withdrawn"})
#: Of so many bad items an answer names the fields.
MOST_ERRORS: Final = 100


class Limits(Struct, frozen=True, kw_only=True):
    """The largest body, and the largest message as JSON, in bytes. A message that exceeds what one conversation may
    buffer would be answered 503 for ever, so it is refused at once."""

    body: int = MEBIBYTE
    message: int = MEBIBYTE


class Webhooks:
    """The endpoint of all channels."""

    def __init__(self, channels: Mapping[str, Channel], committer: Committer, limits: Limits) -> None:
        self.channels = channels
        self._committer = committer
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a delivery (POST), or a provider's handshake (GET). As an application, not as a function: Starlette
        wraps each call of one in two more."""
        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """Answer what Starlette has routed."""
        channel = self.channels.get(request.path_params["channel"])
        if channel is None:
            raise HTTPException(404, f"there is no channel {request.path_params['channel']!r}")
        if request.method == "POST":
            return await self.deliver(channel, request.scope, request.receive)
        return PlainTextResponse(channel.handshake(request.query_params))

    async def deliver(self, channel: Channel, scope: Scope, receive: Receive) -> Response:
        """Answer a delivery."""
        headers = _headers(scope)
        _check_media_type(headers, channel)
        body = await read_body(receive, headers, self._limits.body)
        if len(body) <= INLINE_BYTES:
            parsed = _verify_and_parse(channel, headers, body)
        else:
            parsed = await anyio.to_thread.run_sync(_verify_and_parse, channel, headers, body)
        brought_by, span = scope[KEY], traceparent.current.get()
        messages = [
            replace(message, correlation_id=brought_by, traceparent=span)
            for message in parsed.messages
            if _concerns_the_ledger(message)
        ]
        self._check_sizes(messages, len(body))
        outcomes = await self._committer.submit(messages) if messages else []
        logger.debug("%d messages of %s: %s", len(messages), channel.name, outcomes)
        return _answer(channel, parsed, outcomes)

    def _check_sizes(self, messages: list[InboundMessage], body_size: int) -> None:
        # A message is not much longer than its part of the body (its key repeats its ids), so few need measuring.
        if body_size * 4 <= self._limits.message:
            return
        for message in messages:
            if len(msgspec.json.encode(message)) > self._limits.message:
                raise HTTPException(413, f"a message is longer than {self._limits.message} bytes")


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers, of those with one name the first. Each is looked at several times, and Starlette's mapping
    searches all of them every time."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


def _check_media_type(headers: Mapping[str, str], channel: Channel) -> None:
    given = headers.get("content-type", "")
    if given not in channel.media_types and given.partition(";")[0].strip().lower() not in channel.media_types:
        allowed = ", ".join(sorted(channel.media_types))
        raise HTTPException(415, f"the content type must be {allowed}", headers={"accept": allowed})


def _concerns_the_ledger(message: InboundMessage) -> bool:
    """Say whether a message asks for a turn, or changes one that may still wait for its turn."""
    if message.kind == "edit":
        return bool(message.target_id and (message.text or message.attachments))  # else what was said stays
    return message.triggers_turn or (message.kind == "delete" and bool(message.target_id))


def _verify_and_parse(channel: Channel, headers: Mapping[str, str], body: bytes) -> Parsed:
    channel.verify(headers, body)
    try:
        return channel.parse(body, datetime.now(UTC))
    except RecursionError as exc:
        raise Malformed("the body is nested too deeply") from exc


def _answer(channel: Channel, parsed: Parsed, outcomes: list[str]) -> Response:
    counts, refused = _counts(parsed, outcomes)
    if refused:
        detail = f"{refused} of the messages cannot be taken now; please send this again"
        return unavailable(detail, OVERFLOW_RETRY_AFTER, counts)
    if not parsed.rejected:
        return answer(counts)
    if channel.sender_mends:
        first = parsed.rejected[0]
        detail = f"{len(parsed.rejected)} items could not be read; the first: {first.field}: {first.reason}"
        return problem(400, detail, {"errors": parsed.rejected[:MOST_ERRORS], **counts})
    told = "; ".join(f"{item.field}: {item.reason}" for item in parsed.rejected[:5])
    logger.warning("%s: %d items of a body could not be read: %s", channel.name, len(parsed.rejected), told)
    return answer(counts)


def _counts(parsed: Parsed, outcomes: list[str]) -> tuple[dict[str, int], int]:
    """Return what the answer says, and how many messages are not in the ledger."""
    accepted = sum(map(_ACCEPTED.__contains__, outcomes))
    duplicates, late = outcomes.count("duplicate"), outcomes.count("late")
    counts = {"accepted": accepted, "duplicates": duplicates + parsed.repeats}
    if ignored := parsed.ignored + len(parsed.messages) - len(outcomes) + late:
        counts["ignored"] = ignored
    if parsed.rejected:
        counts["rejected"] = len(parsed.rejected)
    return counts, len(outcomes) - accepted - duplicates - late

"""A responder behind a URL: it is POSTed the turn as JSON, and answers `{"replies": [{"text": "..."}]}`.

The turn's id is the `Idempotency-Key`, so a service that honours it may be asked again after an unknown outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import httpx
import msgspec
from msgspec import Struct

from chatbot import http_client, traceparent
from chatbot.decoding import decoder
from chatbot.errors import Ambiguous, ConfigurationError, Permanent, Transient
from chatbot.model import Attachment, Draft, HistoryEntry, InboundMessage, Interactive, Kind, TurnRequest


class Message(Struct, frozen=True, kw_only=True):
    """One message of the burst as the service sees it: every field is always there, whatever the channel."""

    message_id: str
    sender_id: str
    sender_name: str | None
    kind: Kind
    text: str | None
    timestamp: datetime | None
    attachments: tuple[Attachment, ...]
    interactive: Interactive | None
    reply_to_id: str | None
    target_id: str | None
    thread_id: str | None
    mentions_bot: bool


class Question(Struct, frozen=True, kw_only=True):
    """The body of a request. It is the same for every attempt, as an idempotency key demands."""

    turn_id: str
    channel: str
    conversation_id: str
    messages: tuple[Message, ...]
    history: tuple[HistoryEntry, ...]


class Line(Struct, frozen=True, kw_only=True):
    """One reply of an answer."""

    text: str
    attachments: tuple[Attachment, ...] = ()


class Answer(Struct, frozen=True, kw_only=True):
    """The body of an answer; no replies are silence."""

    replies: tuple[Line, ...]


class Http:
    """Asks a service over HTTP, through one pool of connections for all threads."""

    def __init__(self, url: str, *, timeout: float = 60.0) -> None:
        """`timeout` (s) bounds the wait for an answer; connecting takes 2 s of it at most."""
        self._url = _checked(url)
        self._connections = http_client.Connections(float(timeout))

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Ask. Raises Transient for 429, 5xx and whatever happens on the way, Permanent for every other answer."""
        headers = {"content-type": "application/json", "idempotency-key": request.turn_id}
        if span := traceparent.current.get():
            headers["traceparent"] = span
        content = msgspec.json.encode(_question(request))
        try:
            response = http_client.post(self._connections.client(), self._url, content=content, headers=headers)
        except Ambiguous as exc:
            # The idempotency key makes asking again safe, so this must not fall under a policy for unknown outcomes.
            raise Transient(str(exc), retry_after=exc.retry_after) from exc
        return [Draft(text=line.text, attachments=line.attachments) for line in _lines(response, self._url)]

    def close(self) -> None:
        """Give back the connections."""
        self._connections.close()


def _checked(url: str) -> str:
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as exc:
        raise ConfigurationError(f"this is not a URL ({exc})") from exc
    if not parts.host:
        raise ConfigurationError("the URL has no host")
    return url


def _question(request: TurnRequest) -> Question:
    return Question(
        turn_id=request.turn_id,
        channel=request.channel,
        conversation_id=request.conversation_id,
        messages=tuple(_message(message) for message in request.messages),
        history=request.history,
    )


def _message(message: InboundMessage) -> Message:
    own = {name: getattr(message, name) for name in Message.__struct_fields__ if name != "timestamp"}
    return Message(**own, timestamp=message.sent_at)


def _lines(response: httpx.Response, url: str) -> list[Line]:
    try:
        lines: list[Line] = decoder(Answer).decode(response.content).replies
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        expected = '{"replies": [{"text": "..."}]}'
        raise Permanent(f"{http_client.host(url)} did not answer with {expected}: {exc}") from exc
    return [line for line in lines if line.text.strip() or line.attachments]

"""The generic channel: any system that can sign a POST sends messages in, and gets replies as signed POSTs.

In: `{"messages": [{"message_id", "conversation_id", "sender_id", "text", "timestamp", "attachments"}]}`, or one such
message alone. Out: `{"reply_id", "turn_id", "conversation_id", "position", "text", "attachments"}`.

A message with `"edits": "m1"` corrects m1 of the same conversation, one with `"deletes": "m1"` takes it back and needs
no text. While m1 waits for its turn, it is replaced (as kind `edit`, at its place) or gone. Later, the edit is a
message of its own, and the deletion is counted as ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from chatbot import http_client
from chatbot.channels import generic_messages, standard_webhooks
from chatbot.channels.base import Channel, Parsed
from chatbot.channels.options import Options
from chatbot.errors import NotSupported, Permanent
from chatbot.model import Reply

DAY_S = 86_400
TIMEOUT_S = 10.0
_SECRET_CURE = (
    "set it to whsec_ and the base64 of 24 to 64 random bytes, for example from "
    "`echo whsec_$(openssl rand -base64 32)`, and give the sender the same"
)
_URL_CURE = "set it to the URL that takes the replies, for example https://example.com/replies"


def create(name: str, options: Mapping[str, str]) -> Channel:
    """Make the channel from `secret`, `outbound_url`, `timeout_s` (10) and `resend_horizon_s` (a day).

    Raises ConfigurationError with every problem at once.
    """
    given = Options(name, options)
    keys = given.parsed("secret", _SECRET_CURE, standard_webhooks.read_secrets)
    outbound_url = given.url("outbound_url", _URL_CURE)
    timeout_s = given.seconds("timeout_s", TIMEOUT_S, most=300)
    horizon_s = given.seconds("resend_horizon_s", DAY_S, most=30 * DAY_S)
    given.check()
    return Generic(name, keys or (), outbound_url, timeout_s=timeout_s, resend_horizon=int(horizon_s * 1000))


class Generic:
    """A channel whose other end is a program of ours or of a customer."""

    media_types = frozenset({"application/json"})
    sender_mends = True

    def __init__(
        self,
        name: str,
        keys: Sequence[bytes],
        outbound_url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        resend_horizon: int = DAY_S * 1000,
    ) -> None:
        self.name = name
        self.resend_horizon = resend_horizon
        self._keys = keys
        self._outbound_url = outbound_url
        self._connections = http_client.Connections(timeout_s)

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raise SignatureInvalid unless the body is signed with one of our secrets, within five minutes."""
        standard_webhooks.verify(self._keys, headers, body)

    def parse(self, body: bytes, received_at: datetime) -> Parsed:
        """Read the messages; a bad one is rejected alone."""
        return generic_messages.parse(self.name, body, received_at)

    def handshake(self, query: Mapping[str, str]) -> str:
        """Refuse: this channel has none."""
        raise NotSupported(f"the channel {self.name} has no handshake")

    def send(self, reply: Reply) -> None:
        """POST a reply, with its id as `webhook-id`: the receiver can tell a repetition by it."""
        body = msgspec.json.encode(
            {
                "reply_id": reply.reply_id,
                "turn_id": reply.turn_id,
                "conversation_id": reply.conversation_id,
                "position": reply.position,
                "text": reply.text,
                "attachments": reply.attachments,
            }
        )
        try:
            headers = standard_webhooks.sign(self._keys, reply.reply_id, body)
        except ValueError as exc:
            raise Permanent(str(exc)) from exc
        headers["content-type"] = "application/json"
        http_client.post(self._connections.client(), self._outbound_url, content=body, headers=headers)

    def sign(self, webhook_id: str, body: bytes) -> dict[str, str]:
        """Return the headers with which a sender would deliver this body to us."""
        return standard_webhooks.sign(self._keys, webhook_id, body)

    def close(self) -> None:
        """Give back connections."""
        self._connections.close()

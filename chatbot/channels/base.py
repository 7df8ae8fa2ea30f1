"""What a channel is: it proves who sent a body, reads it, and sends replies back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from chatbot.model import InboundMessage, Reply


class Rejected(Struct, frozen=True, kw_only=True):
    """One item of a body that could not be read. `field` says where: `messages[1].conversation_id`."""

    field: str
    reason: str


class Parsed(Struct, frozen=True, kw_only=True):
    """What one body held: messages in body order without repeats (and how many those were), items that could not be
    read, and how many things there were that nobody said (statuses, receipts, echoes, unknown events)."""

    messages: tuple[InboundMessage, ...] = ()
    repeats: int = 0
    rejected: tuple[Rejected, ...] = ()
    ignored: int = 0


class Channel(Protocol):
    """One provider. Its methods keep no state, so any thread may call them."""

    #: As in `/webhooks/{name}`.
    name: str
    #: Media types of a body, such as `application/json`; any other is answered with 415.
    media_types: frozenset[str]
    #: For how long the provider may send a message again, in ms: its id is remembered at least as long.
    resend_horizon: int
    #: Whether the sender can mend a bad item: True answers 400 for it, False 200 (a provider would resend for days).
    sender_mends: bool

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raise SignatureInvalid unless the raw body is from the provider. Header names are lower case."""

    def parse(self, body: bytes, received_at: datetime) -> Parsed:
        """Read a verified body. Raises Malformed if nothing of it can be read; a bad item never hides its
        neighbours."""

    def handshake(self, query: Mapping[str, str]) -> str:
        """Answer the provider's GET as plain text. Raises SignatureInvalid, or NotSupported where there is none."""

    def send(self, reply: Reply) -> None:
        """Send one reply. Raises Transient (with `retry_after` s), Ambiguous (sent, outcome unknown) or Permanent."""

    def close(self) -> None:
        """Give back connections."""

"""The provider's side of a channel: the bodies that it sends, and how it signs them."""

from __future__ import annotations

import hmac
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import msgspec

from chatbot.channels.standard_webhooks import read_secrets, sign
from chatbot.errors import ConfigurationError

#: The business number that people write to, unless the service says that it has only one.
PHONE_NUMBER_ID = "100000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One message of one person."""

    conversation_id: str
    number: int
    text: str
    sent_at: datetime


class Provider(Protocol):
    """One provider. `secret_variable` is where the service has the secret that we sign with."""

    channel: str
    secret_variable: str

    def conversation(self, run: int, place: int) -> str:
        """Return the id of a run's conversation, which no other run has: a service remembers what it has seen."""

    def message_id(self, conversation_id: str, number: int) -> str:
        """Return the id of a message."""

    def body(self, said: Said) -> bytes:
        """Return what is POSTed: the same bytes at each delivery."""

    def headers(self, body: bytes) -> dict[str, str]:
        """Return the headers of one delivery, signed now."""


class Generic:
    """A program that signs as in Standard Webhooks."""

    channel, secret_variable = "generic", "CHATBOT_GENERIC_SECRET"

    def __init__(self, secret: str) -> None:
        self._keys = read_secrets(secret)

    def conversation(self, run: int, place: int) -> str:
        return f"sim-{run:06x}-{place}"

    def message_id(self, conversation_id: str, number: int) -> str:
        return f"m{number}"

    def body(self, said: Said) -> bytes:
        return msgspec.json.encode(
            {
                "message_id": self.message_id(said.conversation_id, said.number),
                "conversation_id": said.conversation_id,
                "sender_id": f"user-of-{said.conversation_id}",
                "text": said.text,
                "timestamp": said.sent_at,
            }
        )

    def headers(self, body: bytes) -> dict[str, str]:
        # A new id for each delivery, as from a sender that does not know that it repeats itself.
        return {**sign(self._keys, uuid.uuid4().hex, body), "content-type": "application/json"}


class WhatsApp:
    """Meta's Cloud API, as it delivers what people wrote to one business number."""

    channel, secret_variable = "whatsapp", "CHATBOT_WHATSAPP_APP_SECRET"

    def __init__(self, secret: str, phone_number_id: str = "") -> None:
        self._secret = secret.encode()
        self._phone_number_id = phone_number_id or PHONE_NUMBER_ID

    def conversation(self, run: int, place: int) -> str:
        return f"999{run:08d}{place:04d}"  # no country has 999, so nobody is called should this ever reach Meta

    def message_id(self, conversation_id: str, number: int) -> str:
        return f"wamid.{conversation_id}.{number}"

    def body(self, said: Said) -> bytes:
        who = said.conversation_id
        message = {
            "from": who,
            "id": self.message_id(who, said.number),
            "timestamp": str(int(said.sent_at.astimezone(UTC).timestamp())),
            "type": "text",
            "text": {"body": said.text},
        }
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550000000", "phone_number_id": self._phone_number_id},
            "contacts": [{"profile": {"name": f"Person {who[-4:]}"}, "wa_id": who}],
            "messages": [message],
        }
        entry = {"id": "100000000000000", "changes": [{"field": "messages", "value": value}]}
        return msgspec.json.encode({"object": "whatsapp_business_account", "entry": [entry]})

    def headers(self, body: bytes) -> dict[str, str]:
        signature = hmac.digest(self._secret, body, "sha256").hex()
        return {"x-hub-signature-256": f"sha256={signature}", "content-type": "application/json"}


#: Where the service has the secret of a channel.
SECRETS = {made.channel: made.secret_variable for made in (Generic, WhatsApp)}


def secret_of(channel: str, variables: Mapping[str, str], *, given: str, state: Path) -> str:
    """Return what is signed with: what is given, or of the environment, or what `chatbot dev` made for itself."""
    if chosen := given or variables.get(SECRETS[channel], ""):
        return chosen
    file = state / f"{channel}.secret"
    try:
        return file.read_text().strip()
    except OSError as exc:
        raise ConfigurationError(
            f"no secret to sign with ({file}: {exc.strerror}): start `chatbot dev` first, in this folder, "
            f"or give --secret or {SECRETS[channel]}, the one that the service has"
        ) from exc


def provider(channel: str, secret: str, variables: Mapping[str, str]) -> Provider:
    """Return the provider of a channel. Raises ConfigurationError if the secret cannot be one."""
    if channel == "whatsapp":
        return WhatsApp(secret, variables.get("CHATBOT_WHATSAPP_PHONE_NUMBER_ID", ""))
    try:
        return Generic(secret)
    except ValueError as exc:
        raise ConfigurationError(
            f"{SECRETS[channel]} or --secret cannot be used: {exc}; give the one that the service has"
        ) from exc

"""WhatsApp through Meta's Cloud API.

Source: developers.facebook.com/docs/whatsapp/cloud-api (webhooks, messages, error codes).

Edits (`edit`) and deletions (`revoke`) have ids of their own and name the message that they are about. While that one
waits for its turn, it is replaced (as kind `edit`, at its place) or gone. Later, the edit is a message of its own, and
the deletion is counted as ignored.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import datetime

from chatbot import http_client
from chatbot.channels import whatsapp_inbound, whatsapp_outbound
from chatbot.channels.base import Channel, Parsed
from chatbot.channels.options import Options
from chatbot.errors import SignatureInvalid
from chatbot.model import Reply

#: Meta sends a webhook again for up to 7 days.
RESEND_HORIZON = 7 * 86_400_000
GRAPH_URL = "https://graph.facebook.com/v23.0"
TIMEOUT_S = 10.0


def create(name: str, options: Mapping[str, str]) -> Channel:
    """Make the channel from `app_secret`, `verify_token`, `access_token`, and if given `phone_number_id` (messages to
    other numbers of the app are left alone), `graph_url` and `timeout_s`.

    Raises ConfigurationError with every problem at once.
    """
    given = Options(name, options)
    channel = WhatsApp(
        name,
        app_secret=given.required("app_secret", "copy it from App settings > Basic of your Meta app"),
        verify_token=given.required("verify_token", "choose a random text, and enter the same where Meta asks for it"),
        access_token=given.required("access_token", "make one for a system user with whatsapp_business_messaging"),
        phone_number_id=given.optional("phone_number_id"),
        graph_url=given.url("graph_url", "leave it out for Meta's own", default=GRAPH_URL),
        timeout_s=given.seconds("timeout_s", TIMEOUT_S, most=300),
    )
    given.check()
    return channel


class WhatsApp:
    """The numbers of one Meta app. A message's `account_id` is the number's `phone_number_id`."""

    media_types = frozenset({"application/json"})
    resend_horizon = RESEND_HORIZON
    sender_mends = False

    def __init__(
        self,
        name: str,
        *,
        app_secret: str,
        verify_token: str,
        access_token: str,
        phone_number_id: str = "",
        graph_url: str = GRAPH_URL,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self.name = name
        self._app_secret = app_secret.encode()
        self._verify_token = verify_token.encode()
        self._access_token = access_token
        self._phone_number_id = phone_number_id
        self._graph_url = graph_url.rstrip("/")
        self._connections = http_client.Connections(timeout_s)

    def verify(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raise SignatureInvalid unless `x-hub-signature-256` is of these bytes, with the app's secret."""
        given = headers.get("x-hub-signature-256", "")
        if not given:
            raise SignatureInvalid("the header x-hub-signature-256 is missing")
        expected = b"sha256=" + hmac.digest(self._app_secret, body, "sha256").hex().encode()
        if not hmac.compare_digest(expected, given.encode(errors="replace")):
            raise SignatureInvalid("x-hub-signature-256 is not of this body with our app secret")

    def parse(self, body: bytes, received_at: datetime) -> Parsed:
        """Read what people did; statuses, echoes and the like are counted as ignored."""
        return whatsapp_inbound.parse(self.name, body, received_at, only_account=self._phone_number_id)

    def handshake(self, query: Mapping[str, str]) -> str:
        """Return `hub.challenge` to whoever knows our verify token."""
        given = query.get("hub.verify_token", "").encode(errors="replace")
        if query.get("hub.mode") != "subscribe" or not hmac.compare_digest(self._verify_token, given):
            raise SignatureInvalid("hub.mode must be subscribe, and hub.verify_token ours")
        return query.get("hub.challenge", "")

    def send(self, reply: Reply) -> None:
        """Send one reply as one WhatsApp message: a text, or one file with the text as its caption."""
        url = whatsapp_outbound.url(self._graph_url, reply.account_id or self._phone_number_id)
        body = whatsapp_outbound.body(reply)
        headers = {"authorization": f"Bearer {self._access_token}", "content-type": "application/json"}
        answer = http_client.exchange(self._connections.client(), url, content=body, headers=headers)
        if not answer.is_success:
            raise whatsapp_outbound.refusal(answer)

    def close(self) -> None:
        """Give back connections."""
        self._connections.close()

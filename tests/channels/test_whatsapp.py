"""Who may call the webhook of WhatsApp's Cloud API."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from chatbot.channels import create
from chatbot.channels.base import Channel
from chatbot.errors import SignatureInvalid

SETTINGS = {"app_secret": "app-secret", "verify_token": "verify-token", "access_token": "TOKEN-1"}


@pytest.fixture
def channel() -> Channel:
    return create("whatsapp", SETTINGS)[1]


def signature(body: bytes, secret: str = "app-secret") -> dict[str, str]:
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}"}


def test_a_body_signed_with_the_app_secret_is_taken(channel: Channel) -> None:
    channel.verify(signature(b"{}"), b"{}")


def test_any_other_is_refused(channel: Channel) -> None:
    right = signature(b"{}")["x-hub-signature-256"]
    wrong = [*signature(b"{ }").values(), *signature(b"{}", "other").values()]
    for given in [*wrong, "", "sha256=", right[7:], right.replace("256", "1"), "sha256=é", "\udcff"]:
        with pytest.raises(SignatureInvalid):
            channel.verify({"x-hub-signature-256": given}, b"{}")
    with pytest.raises(SignatureInvalid):
        channel.verify({}, b"{}")


def test_the_challenge_goes_to_whoever_knows_the_token(channel: Channel) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify-token", "hub.challenge": "1158201444"}
    assert channel.handshake(query) == "1158201444"


@pytest.mark.parametrize(
    "changed", [{"hub.mode": "unsubscribe"}, {"hub.verify_token": "guess"}, {"hub.verify_token": "é"}]
)
def test_nobody_else_gets_it(channel: Channel, changed: dict[str, str]) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify-token", "hub.challenge": "1"}
    with pytest.raises(SignatureInvalid):
        channel.handshake(query | changed)
    with pytest.raises(SignatureInvalid):
        channel.handshake({})

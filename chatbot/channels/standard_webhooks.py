"""Signing and verifying as in Standard Webhooks 1.0 (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import time
from collections.abc import Mapping, Sequence

from chatbot.errors import SignatureInvalid

PREFIX = "whsec_"
#: Seconds that the sender's clock may differ from ours, either way.
TOLERANCE_S = 300

_TIMESTAMP = re.compile(r"[0-9]{1,12}")
_ID = re.compile(r"[\x21-\x2d\x2f-\x7e]{1,256}")  # printable ASCII without '.', which parts the signed fields


def read_secrets(text: str) -> tuple[bytes, ...]:
    """Return the keys of one or more secrets, parted by spaces or commas: during a rotation both are good.

    Raises ValueError, whose text does not show the secret.
    """
    secrets = text.replace(",", " ").split()
    if not secrets:
        raise ValueError("it is empty")
    return tuple(_key(secret, place) for place, secret in enumerate(secrets, start=1))


def sign(keys: Sequence[bytes], webhook_id: str, body: bytes, *, now: float | None = None) -> dict[str, str]:
    """Return the three headers, with one signature for each key. Raises ValueError if the id cannot be signed."""
    if not _ID.fullmatch(webhook_id):
        raise ValueError(f"webhook-id {webhook_id!r} must be 1 to 256 printable ASCII characters without '.'")
    timestamp = str(int(time.time() if now is None else now))
    signed = _signed(webhook_id, timestamp, body)
    signatures = (f"v1,{_signature(key, signed).decode()}" for key in keys)
    return {"webhook-id": webhook_id, "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def verify(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, *, now: float | None = None) -> None:
    """Raise SignatureInvalid unless one of the signatures is of one of the keys, and fresh. Header names are lower
    case; `svix-id` and its siblings are as good."""
    webhook_id = _header(headers, "webhook-id", "svix-id")
    timestamp = _header(headers, "webhook-timestamp", "svix-timestamp")
    given = _header(headers, "webhook-signature", "svix-signature")
    if not _ID.fullmatch(webhook_id):
        raise SignatureInvalid("webhook-id must be 1 to 256 printable ASCII characters without '.'")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise SignatureInvalid("webhook-timestamp must be a number of seconds since 1970")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_S:
        raise SignatureInvalid(f"webhook-timestamp is more than {TOLERANCE_S} s from our time; check both clocks")
    if not _is_signed(keys, _signed(webhook_id, timestamp, body), _v1(given)):
        raise SignatureInvalid("webhook-signature holds no v1 signature of this body with a secret that we know")


def _key(secret: str, place: int) -> bytes:
    if not secret.startswith(PREFIX):
        raise ValueError(f"secret {place} does not begin with {PREFIX}")
    encoded = secret.removeprefix(PREFIX).rstrip("=")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"secret {place} is not base64 after {PREFIX}") from None
    if not 24 <= len(key) <= 64:
        raise ValueError(f"secret {place} holds {len(key)} bytes instead of 24 to 64")
    return key


def _signed(webhook_id: str, timestamp: str, body: bytes) -> bytes:
    return b".".join((webhook_id.encode(), timestamp.encode(), body))


def _signature(key: bytes, signed: bytes) -> bytes:
    return binascii.b2a_base64(hmac.digest(key, signed, "sha256"), newline=False)


def _is_signed(keys: Sequence[bytes], signed: bytes, signatures: Sequence[bytes]) -> bool:
    for key in keys:
        ours = _signature(key, signed)
        for theirs in signatures:
            if hmac.compare_digest(ours, theirs):
                return True
    return False


def _header(headers: Mapping[str, str], name: str, sibling: str) -> str:
    value = headers.get(name) or headers.get(sibling)
    if not value:
        raise SignatureInvalid(f"the header {name} is missing")
    return value


def _v1(header: str) -> list[bytes]:
    # What is not ASCII cannot match, and must not raise.
    return [one[3:].encode(errors="replace") for one in header.split() if one.startswith("v1,")]

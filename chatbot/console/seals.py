"""Names of people in links, sealed: neither a masked page nor a browser's history nor a proxy's log holds them.

A seal is the same for the same name, in every web process. It is encrypted with a key stream that a hash of the name
begins (as SIV modes do), so it also proves itself: nobody can make one up.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatbot.settings import Settings

#: bytes that prove a seal, and bytes of one hash.
_TAG, _BLOCK = 16, 64


class Seals:
    """Seals and opens names. The key is made from what only this deployment knows."""

    def __init__(self, settings: Settings) -> None:
        password = settings.admin_password.get_secret_value() if settings.admin_password else ""
        known = (settings.namespace, settings.store_url, settings.broker_url, password)
        self._key = hashlib.blake2b("\0".join(known).encode(), person=b"console seals").digest()

    def seal(self, name: str) -> str:
        """Return a name as a part of a path."""
        plain = name.encode()
        tag = self._hash(b"tag", plain)[:_TAG]
        return base64.urlsafe_b64encode(tag + self._stirred(tag, plain)).decode().rstrip("=")

    def open(self, sealed: str) -> str | None:
        """Return the name, or None if this is no seal of ours."""
        try:
            raw = base64.urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))
        except (binascii.Error, ValueError):
            return None
        tag, plain = raw[:_TAG], self._stirred(raw[:_TAG], raw[_TAG:])
        return plain.decode() if hmac.compare_digest(tag, self._hash(b"tag", plain)[:_TAG]) else None

    def _stirred(self, tag: bytes, text: bytes) -> bytes:
        stream = b"".join(self._hash(b"stream %d" % at, tag) for at in range(0, len(text), _BLOCK))
        return bytes(a ^ b for a, b in zip(text, stream, strict=False))

    def _hash(self, purpose: bytes, data: bytes) -> bytes:
        return hashlib.blake2b(purpose + b"\0" + data, key=self._key).digest()

"""The one login of a deployment: CHATBOT_ADMIN_USER with CHATBOT_ADMIN_PASSWORD, plain or as an argon2 hash."""

from __future__ import annotations

import hashlib
import hmac
import threading
from typing import TYPE_CHECKING

import argon2

from chatbot.admin.doors import check, given

if TYPE_CHECKING:
    from chatbot.settings import Settings

#: What OWASP asks for at least: more would let each login attempt take much of the process's memory.
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


class Credentials:
    """What a login is compared with; a plain password is forgotten, its hash is kept."""

    def __init__(self, settings: Settings) -> None:
        check(settings)
        self._user, password = settings.admin_user, given(settings)
        # Several web processes must find the same key, so the salt is no random one. The hash leaves no process.
        salt = hashlib.blake2b(f"{settings.namespace}\0{self._user}".encode(), digest_size=16).digest()
        self._hash = password if password.startswith("$argon2") or not password else HASHER.hash(password, salt=salt)
        # One at a time: each takes 19 MiB.
        self._verifying = threading.Lock()

    @property
    def exist(self) -> bool:
        """Say whether there is a password to log in with."""
        return bool(self._hash)

    @property
    def user(self) -> str:
        """Return the one user's name."""
        return self._user

    def key(self, *further: str) -> str:
        """Return a key for signatures: another password makes all of them void. Without a password it depends on
        `further`; nobody is known by a session then."""
        return hashlib.blake2b("\0".join(["chatbot sessions", self._hash, *further]).encode()).hexdigest()

    def fit(self, user: str, password: str) -> bool:
        """Compare, in the same time whichever of the two is wrong. It takes tens of ms."""
        if not self.exist:
            return False
        known = hmac.compare_digest(user.encode(errors="replace"), self._user.encode())
        with self._verifying:
            right = _matches(self._hash, password)
        return right and known


def _matches(hashed: str, password: str) -> bool:
    try:
        return HASHER.verify(hashed, password.encode(errors="replace"))
    except argon2.exceptions.VerificationError:
        return False

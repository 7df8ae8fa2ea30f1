"""The one login of a deployment: CHATBOT_ADMIN_USER with CHATBOT_ADMIN_PASSWORD, plain or as an argon2 hash."""

from __future__ import annotations

import hashlib
import hmac
import threading
from typing import TYPE_CHECKING

import argon2

from chatbot.errors import ConfigurationError

if TYPE_CHECKING:
    from chatbot.settings import Settings

#: Characters of a plain password.
SHORTEST = 8
#: What OWASP asks for at least: more would let each login attempt take much of the process's memory.
HASHER = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

_MISSING = (
    "CHATBOT_ADMIN_PASSWORD is missing: the pages of the service need a login. Set it to a password of at least "
    f"{SHORTEST} characters or to its argon2 hash, or let a proxy log people in with CHATBOT_ADMIN_PROXY_HEADER and "
    "CHATBOT_ADMIN_PROXY_IPS"
)
_NO_HASH = "CHATBOT_ADMIN_PASSWORD begins with $argon2, but is no argon2 hash: in a shell, put it in single quotes"
_TOO_SHORT = f"CHATBOT_ADMIN_PASSWORD is shorter than {SHORTEST} characters: choose a longer one"
_ANY_PROXY = (
    "CHATBOT_ADMIN_PROXY_HEADER is set without CHATBOT_ADMIN_PROXY_IPS: anybody could send the header, so name the "
    "addresses or networks of the proxies, such as 10.0.0.0/8"
)


def check(settings: Settings) -> None:
    """Raise ConfigurationError unless people can log in, and only those who may."""
    password = _given(settings)
    if settings.admin_proxy_header and not settings.admin_proxy_ips:
        raise ConfigurationError(_ANY_PROXY)
    if not password and not settings.admin_proxy_header:
        raise ConfigurationError(_MISSING)
    if password.startswith("$argon2"):
        try:
            argon2.extract_parameters(password)
        except argon2.exceptions.InvalidHashError:
            raise ConfigurationError(_NO_HASH) from None
    elif 0 < len(password) < SHORTEST:
        raise ConfigurationError(_TOO_SHORT)


class Credentials:
    """What a login is compared with; a plain password is forgotten, its hash is kept."""

    def __init__(self, settings: Settings) -> None:
        check(settings)
        self._user, password = settings.admin_user, _given(settings)
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


def _given(settings: Settings) -> str:
    return settings.admin_password.get_secret_value() if settings.admin_password else ""

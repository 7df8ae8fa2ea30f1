"""The ways to log in that a deployment has: its password, or a proxy. A web process without any does not start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatbot.errors import ConfigurationError

if TYPE_CHECKING:
    from chatbot.settings import Settings

#: Characters of a plain password.
SHORTEST = 8

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
    password = given(settings)
    if settings.admin_proxy_header and not settings.admin_proxy_ips:
        raise ConfigurationError(_ANY_PROXY)
    if not password and not settings.admin_proxy_header:
        raise ConfigurationError(_MISSING)
    if password.startswith("$argon2"):
        import argon2  # else it comes with the pages, when somebody looks at one

        try:
            argon2.extract_parameters(password)
        except argon2.exceptions.InvalidHashError:
            raise ConfigurationError(_NO_HASH) from None
    elif 0 < len(password) < SHORTEST:
        raise ConfigurationError(_TOO_SHORT)


def given(settings: Settings) -> str:
    """Return the password, or its hash, or nothing."""
    return settings.admin_password.get_secret_value() if settings.admin_password else ""

"""Which secrets of the environment could be guessed. What they are is never said."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

#: Variables that end like this hold something secret.
ENDINGS = ("_SECRET", "_TOKEN", "_PASSWORD")
#: Of random bytes, 24 have hardly ever fewer different ones; of letters a person chose, it is a few.
LEAST_DIFFERENT, LEAST_LETTERS = 12, 6
SHORTEST = 12
_LOOPBACK = ("localhost", "127.0.0.1", "::1", None)
_KNOWN = {"admin", "changeme", "chatbot", "default", "guest", "password", "secret", "test", "token"}


def weaknesses(variables: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the variables whose value is weak, with what is wrong."""
    secrets = [(name, value.strip()) for name, value in variables.items() if name.endswith(ENDINGS)]
    found = [(name, why) for name, value in secrets for why in _why(value)]
    user = variables.get("CHATBOT_ADMIN_USER", "admin")
    if variables.get("CHATBOT_ADMIN_PASSWORD", "") == user:
        found.append(("CHATBOT_ADMIN_PASSWORD", "is the user's name"))
    return [*dict(found).items(), *_of_urls(variables)]


def _why(value: str) -> Iterator[str]:
    if not value or value.startswith("$argon2"):
        return
    if value.startswith("whsec_"):
        for part in value.replace(",", " ").split():
            if why := _of_key(part.removeprefix("whsec_")):
                yield why
    elif any(value.lower().rstrip("0123456789!") == known for known in _KNOWN):
        yield "is one that everybody tries first"
    elif len(value) < SHORTEST:
        yield f"has fewer than {SHORTEST} characters"
    elif len(set(value)) < LEAST_LETTERS:
        yield "repeats a few characters"


def _of_key(encoded: str) -> str:
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return ""  # it cannot be used at all, which its channel says
    if len(set(key)) < LEAST_DIFFERENT:
        return "repeats a few bytes, so it is not random"
    return "is the base64 of a text, so it is not random" if key.isascii() else ""


def _of_urls(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name in ("CHATBOT_BROKER_URL", "CHATBOT_RABBITMQ_MANAGEMENT_URL"):
        for url in variables.get(name, "").split(";"):
            if _is_guest(url.strip()):
                yield name, "logs in as guest with its well-known password"
                break


def _is_guest(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.password == "guest" and parts.hostname not in _LOOPBACK

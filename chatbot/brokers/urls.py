"""Reading broker URLs without ever showing one: it may hold a password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chatbot.errors import ConfigurationError


@contextmanager
def reading() -> Iterator[None]:
    """Turn a parser's error into a ConfigurationError. The parser's own text may quote a part of the password."""
    try:
        yield
    except (ValueError, TypeError):
        raise ConfigurationError(
            "CHATBOT_BROKER_URL cannot be read: check its port and its options, "
            "and percent-encode what is special in its password (/ is %2F, @ is %40, # is %23, : is %3A)"
        ) from None

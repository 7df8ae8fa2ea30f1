"""Brokers: how claim checks travel to workers. `create` picks one by the scheme of its URL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from chatbot.errors import ConfigurationError
from chatbot.importing import load

if TYPE_CHECKING:
    from dramatiq.middleware import Middleware

    from chatbot.brokers.admission import Admission

TABLE = {
    "redis": "chatbot.brokers.redis:RedisBroker",
    "rediss": "chatbot.brokers.redis:RedisBroker",
    "unix": "chatbot.brokers.redis:RedisBroker",
    "amqp": "chatbot.brokers.rabbitmq:RabbitmqBroker",
    "amqps": "chatbot.brokers.rabbitmq:RabbitmqBroker",
}


def create(url: str, middleware: Sequence[Middleware]) -> Admission:
    """Return the broker that a URL names, or that `module:factory` makes. Connects to nothing yet."""
    scheme, colon, rest = url.partition("://")
    if not colon and ":" in url:
        return cast("Admission", load(url)(middleware=list(middleware)))
    if not (colon and rest) or scheme not in TABLE:
        raise ConfigurationError(
            f"CHATBOT_BROKER_URL {url!r} cannot be used: it begins with {', '.join(f'{s}://' for s in TABLE)} "
            "or is a module:factory, for example redis://127.0.0.1:6379/0 or amqp://guest:guest@127.0.0.1:5672"
        )
    return cast("Admission", load(TABLE[scheme])(url=url, middleware=list(middleware)))


__all__ = ["create"]

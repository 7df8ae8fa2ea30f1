"""Brokers: how claim checks travel to workers. `create` picks one by the scheme of its URL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from chatbot.errors import ConfigurationError
from chatbot.importing import load, needs

if TYPE_CHECKING:
    from dramatiq.middleware import Middleware

    from chatbot.brokers.admission import Admission

TABLE = {
    "redis": "chatbot.brokers.redis:RedisBroker",
    "rediss": "chatbot.brokers.redis:RedisBroker",
    "unix": "chatbot.brokers.redis:RedisBroker",
    "redis+sentinel": "chatbot.brokers.redis:RedisBroker",
    "amqp": "chatbot.brokers.rabbitmq:RabbitmqBroker",
    "amqps": "chatbot.brokers.rabbitmq:RabbitmqBroker",
}
_FACTORY = re.compile(r"[\w.]+:[\w.]+")


def create(url: str, middleware: Sequence[Middleware], **options: Any) -> Admission:
    """Return the broker that a URL names, or that `module:factory` makes. Connects to nothing yet.

    `options` go to the class that the URL names.
    """
    scheme, _, rest = url.partition(":")
    if scheme in TABLE and rest.strip("/"):
        if not rest.startswith("//"):
            raise ConfigurationError(f"CHATBOT_BROKER_URL lacks the slashes of {scheme}://")
        if scheme.startswith("amqp"):
            needs("pika", "rabbitmq", what="a RabbitMQ in CHATBOT_BROKER_URL")
        return cast("Admission", load(TABLE[scheme])(url=url, middleware=list(middleware), **options))
    if scheme not in TABLE and _FACTORY.fullmatch(url):
        return cast("Admission", load(url)(middleware=list(middleware)))
    # Without what was given: that may hold a password.
    raise ConfigurationError(
        f"CHATBOT_BROKER_URL cannot be used: it begins with {', '.join(f'{s}://' for s in TABLE)} "
        "or is a module:factory, for example redis://127.0.0.1:6379/0 or amqp://guest:guest@127.0.0.1:5672"
    )


__all__ = ["create"]

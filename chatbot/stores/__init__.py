"""Stores: where the ledger lives. `create` picks one by the scheme of its URL."""

from __future__ import annotations

from typing import cast

from chatbot.errors import ConfigurationError
from chatbot.importing import load
from chatbot.stores.base import Store

TABLE = {
    "redis": "chatbot.stores.redis:RedisStore",
    "rediss": "chatbot.stores.redis:RedisStore",
    "unix": "chatbot.stores.redis:RedisStore",
    "redis+cluster": "chatbot.stores.redis:RedisStore",
    "rediss+cluster": "chatbot.stores.redis:RedisStore",
    "redis+sentinel": "chatbot.stores.redis:RedisStore",
}


def create(url: str, *, namespace: str = "chatbot", partitions: int | None = None, replicas: int = 0) -> Store:
    """Return the store that a URL names, or that `module:factory` makes. Connects to nothing yet.

    A `module:factory` gets the namespace only.
    """
    scheme, colon, rest = url.partition("://")
    if not colon and ":" in url:
        return cast(Store, load(url)(namespace=namespace))
    if not (colon and rest) or scheme not in TABLE:
        raise ConfigurationError(
            f"CHATBOT_STORE_URL {url!r} cannot be used: it begins with {', '.join(f'{s}://' for s in TABLE)} "
            "or is a module:factory, for example redis://127.0.0.1:6379/0"
        )
    return cast(Store, load(TABLE[scheme])(url, namespace=namespace, partitions=partitions, replicas=replicas))


__all__ = ["Store", "create"]

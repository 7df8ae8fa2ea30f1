"""Stores: where the ledger lives. `create` picks one by the scheme of its URL."""

from __future__ import annotations

import re
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
_FACTORY = re.compile(r"[\w.]+:[\w.]+")


def create(url: str, *, namespace: str = "chatbot", partitions: int | None = None, replicas: int = 0) -> Store:
    """Return the store that a URL names, or that `module:factory` makes. Connects to nothing yet.

    A `module:factory` gets the namespace only.
    """
    scheme, _, rest = url.partition("://")
    if rest and scheme in TABLE:
        return cast(Store, load(TABLE[scheme])(url, namespace=namespace, partitions=partitions, replicas=replicas))
    if _FACTORY.fullmatch(url):
        return cast(Store, load(url)(namespace=namespace))
    # Without what was given: that may hold a password.
    raise ConfigurationError(
        f"CHATBOT_STORE_URL cannot be used: it begins with {', '.join(f'{s}://' for s in TABLE)} "
        "or is a module:factory, for example redis://127.0.0.1:6379/0"
    )


__all__ = ["Store", "create"]

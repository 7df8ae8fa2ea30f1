"""A client for whichever server the Sentinels of a URL call the master, for the store and for the broker:
`redis+sentinel://user:password@host:26379,host:26379/service/db`.

Options belong to the master (`?ssl=true` for TLS), but `sentinel_username` and `sentinel_password` are for the
Sentinels.
"""

from __future__ import annotations

from typing import Any

import redis
from redis.connection import parse_url
from redis.sentinel import Sentinel

from chatbot.errors import ConfigurationError
from chatbot.urls import YES, hosts, split

SCHEME = "redis+sentinel"


def master(url: str, variable: str, defaults: dict[str, Any], options: dict[str, Any] | None = None) -> redis.Redis:
    """Return the client, which connects to nothing yet. `options` precede what the URL says, and that `defaults`.

    Raises ConfigurationError, with the name of the URL's variable, if a part is missing, and what a parser raises.
    """
    parts = split(url)
    user, nodes = hosts(parts.netloc, 26379)
    service, _, db = parts.path.strip("/").partition("/")
    if not nodes or not service:
        raise ConfigurationError(f"{variable} lacks a part: {SCHEME}://host:port,host:port/service/db")
    said = parse_url(f"redis://{user}master/{db}?{parts.query}")
    del said["host"]
    chosen: dict[str, Any] = {**defaults, **said, **(options or {})}
    ours = {
        name.removeprefix("sentinel_"): chosen.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in chosen
    }
    timeouts = {name: chosen[name] for name in ("socket_timeout", "socket_connect_timeout") if name in chosen}
    chosen["ssl"] = str(chosen.get("ssl", "")).lower() in YES
    return Sentinel(nodes, sentinel_kwargs={**timeouts, **ours}).master_for(service, **chosen)  # type: ignore[no-any-return]

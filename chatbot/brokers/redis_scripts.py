"""The Redis broker's commands as Lua: one file a command, each of them one atomic script.

The first line of a command names the parts that stand before it: `-- include: clock holding`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

import redis

from chatbot.brokers.redis_clients import wrapped
from chatbot.stores.lane import Lane

#: A full server takes no new messages, but those that it has are still worked on.
ALLOWED_WHEN_FULL = "#!lua flags=allow-oom\n"


class Scripts:
    """The commands in one namespace. Every one of them may be sent twice, as clients do when a connection breaks."""

    def __init__(self, client: Callable[[], Any], namespace: str) -> None:
        self._client, self._namespace = client, namespace
        self._lane: Lane | None = None

    def __call__(self, command: str, *args: str | bytes | int) -> Any:
        """Run a command. Raises dramatiq.ConnectionClosed if it is unknown whether the server did."""
        source, sha = script(command)
        client = self._client()
        with wrapped(client):
            try:
                return self._lane_of(client)("EVALSHA", sha, 1, self._namespace, *args)
            except redis.exceptions.NoScriptError:
                return client.eval(source, 1, self._namespace, *args)

    def _lane_of(self, client: Any) -> Lane:
        if self._lane is None or self._lane.client is not client:
            self._lane = Lane(client)
        return self._lane


@cache
def script(command: str) -> tuple[str, str]:
    """Return a command's source, and the digest by which the server knows it."""
    body = _read(command)
    parts = body.partition("\n")[0].partition("-- include: ")[2].split()
    flags = "" if command == "enqueue" else ALLOWED_WHEN_FULL
    source = "".join([flags, *map(_read, parts), body])
    return source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


@cache
def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text()

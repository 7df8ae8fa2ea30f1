"""RabbitMQ's management API: what it counts, which is up to 5 s old. Nothing here takes a message, or peeks at one."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import httpx

from chatbot.dashboard.look import Seen

logger = logging.getLogger(__name__)

#: s. A page waits for so long.
TIMEOUT = 3.0


class Management:
    """Asks the API of one virtual host. Its answers are None while it is not to be had."""

    def __init__(self, url: str, virtual_host: str) -> None:
        parts = urlsplit(url)
        # Apart from the URL, which httpx logs.
        self._auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        host = parts.netloc.rpartition("@")[2]
        self._url = urlunsplit(parts._replace(netloc=host, path=parts.path.rstrip("/"), query="", fragment=""))
        self._virtual_host = virtual_host

    def counts(self) -> dict[str, int] | None:
        """Return how many messages each queue has, those that workers hold included."""
        found = self._get(f"queues/{quote(self._virtual_host, safe='')}", "name,messages")
        return None if found is None else {queue.get("name", ""): queue.get("messages", 0) for queue in found}

    def workers(self) -> list[Seen] | None:
        """Return the processes that consume, by the names of their connections."""
        connections = self._get("connections", "name,vhost,user_provided_name")
        channels = self._get("channels", "connection_details.name,consumer_count,messages_unacknowledged")
        if connections is None or channels is None:
            return None
        names = {one.get("name"): _worker(one) for one in connections if one.get("vhost") == self._virtual_host}
        held: Counter[str] = Counter()
        for channel in channels:
            name = names.get(channel.get("connection_details", {}).get("name"))
            if name and channel.get("consumer_count"):
                held[name] += channel.get("messages_unacknowledged", 0)
        now = round(time.time() * 1000)
        return [Seen(name=name, at=now, running=count) for name, count in sorted(held.items())]

    def _get(self, what: str, columns: str) -> list[dict[str, Any]] | None:
        try:
            with httpx.Client(auth=self._auth, timeout=TIMEOUT, trust_env=False) as client:
                answer = client.get(f"{self._url}/api/{what}", params={"columns": columns})
                answer.raise_for_status()
                found = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
            logger.warning("RabbitMQ's management API did not answer: %s", exc)
            return None
        return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else None


def _worker(connection: dict[str, Any]) -> str:
    """Return `host:pid` of a connection of ours, and of others what the server calls it."""
    own = str(connection.get("user_provided_name") or "").split(":")
    return ":".join(own[1:3]) if own[0] == "chatbot" and len(own) >= 4 else str(connection.get("name"))

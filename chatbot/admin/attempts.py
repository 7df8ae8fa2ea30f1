"""How often somebody may try to log in: so many times a minute, counted in the store for all web processes together.

A try takes one of a few leases, which nobody gives back but a login that succeeded: they end by themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import NamedTuple
from uuid import uuid4

from chatbot.admin.proxies import ip
from chatbot.stores.base import Store

#: ms for which a try counts.
PERIOD = 60_000
#: Tries within a period: from one address, and from all of them.
MOST_OF_ONE, MOST_OF_ALL = 5, 30


class Try(NamedTuple):
    """The leases that a try took, or in how many s it may be repeated."""

    leases: Sequence[tuple[str, str]]
    retry_after: int = 0


class Attempts:
    """Counts logins."""

    def __init__(self, store: Store, *, period: int = PERIOD) -> None:
        self._store, self._period = store, period

    def begin(self, address: str) -> Try:
        """Take a try, or say when. Raises StoreUnavailable."""
        taken: list[tuple[str, str]] = []
        for name, most in ((_network(address), MOST_OF_ONE), ("all", MOST_OF_ALL)):
            lease, remaining = self._take(name, most)
            if lease is None:
                self.succeeded(Try(taken))
                return Try([], max(1, -(-remaining // 1000)))
            taken.append(lease)
        return Try(taken)

    def succeeded(self, begun: Try) -> None:
        """Give a try back: it does not count."""
        for key, owner in begun.leases:
            self._store.release(key, owner)

    def _take(self, name: str, most: int) -> tuple[tuple[str, str] | None, int]:
        owner, first = uuid4().hex, self._period
        for number in range(most):
            key = f"admin-login/{name}/{number}"
            claim = self._store.claim(key, owner, self._period)
            if claim.verdict == "new":
                return (key, owner), 0
            first = min(first, claim.remaining)
        return None, first


def _network(address: str) -> str:
    """Return what counts as one address: who has an IPv6 address has 2**64 of them."""
    parsed = ip(address)
    if isinstance(parsed, IPv6Address):
        return f"{int(parsed) >> 64:x}/64"
    return str(parsed)

"""Who sends a request: the other end of the connection, or whom a trusted proxy speaks for."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from chatbot.settings import Network

#: Headers that show that somebody else sent the request on.
_SENT_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


class Proxies:
    """The proxies of this deployment, and the header in which they name whom they have logged in."""

    def __init__(self, networks: Sequence[Network], header: str) -> None:
        self._networks, self._header = networks, header.lower()

    def user(self, request: HTTPConnection) -> str | None:
        """Return whom a trusted proxy names. More than one name is none: somebody may have smuggled one in."""
        if not self._header or not self._trusted(_peer(request)):
            return None
        names = request.headers.getlist(self._header)
        return names[0] if len(names) == 1 and names[0].strip() else None

    def address(self, request: HTTPConnection) -> str:
        """Return where a request comes from: the last address of X-Forwarded-For that is no trusted proxy's."""
        found = _peer(request)
        forwarded = [part for line in request.headers.getlist("x-forwarded-for") for part in line.split(",")]
        while forwarded and self._trusted(found):
            before = _without_port(forwarded.pop().strip())
            if ip(before) is None:
                break  # `unknown`, or made up: the proxy that sent it is all that we know
            found = before
        return found

    def _trusted(self, address: str) -> bool:
        parsed = ip(address)
        return parsed is not None and any(parsed in network for network in self._networks)


def is_https(request: HTTPConnection) -> bool:
    """Say whether the browser speaks https. Whoever pretends to only gets a cookie that their browser keeps back."""
    return request.scope.get("scheme") == "https" or request.headers.get("x-forwarded-proto", "").startswith("https")


def is_at_this_machine(request: HTTPConnection) -> bool:
    """Say whether a request was sent from this machine to this machine, by name: neither through a tunnel or a proxy,
    nor by a page whose host's name now leads here (DNS rebinding)."""
    if any(name in request.headers for name in _SENT_ON):
        return False
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return is_loopback(_peer(request)) and (host == "localhost" or is_loopback(host))


def is_loopback(address: str) -> bool:
    """Say whether an address is this machine's own."""
    parsed = ip(address)
    return parsed is not None and parsed.is_loopback


def ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return an address, or None if it is none. Sockets for both versions give those of IPv4 as `::ffff:192.0.2.1`."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed


def _without_port(address: str) -> str:
    """Some proxies tell the port, too, which is another one each time: `192.0.2.1:4000`, `[2001:db8::1]:4000`."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def _peer(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""

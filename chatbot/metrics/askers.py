"""Who may ask the web process for its metrics: they share a port with webhooks, which the public may reach."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request

#: A proxy for the public adds one of these.
_SENT_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def is_near(request: Request) -> bool:
    """Say whether somebody asks directly, from this machine or a private network: not through a proxy."""
    if any(name in request.headers for name in _SENT_ON):
        return False
    try:
        address = ipaddress.ip_address(request.client.host) if request.client else None
    except ValueError:
        address = None
    # Without an address it is a socket of this machine.
    return address is None or not address.is_global

"""/metrics of the web process, and who may ask for it: it shares a port with webhooks, which the public may reach."""

from __future__ import annotations

import ipaddress

from anyio.to_thread import run_sync
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatbot.metrics.exposition import PATH, Exposition

#: A proxy for the public adds one of these.
_SENT_ON = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")


def metrics(exposition: Exposition) -> Route:
    """Return the route that tells what a process has to tell."""

    async def tell(request: Request) -> Response:
        if not is_near(request):
            raise HTTPException(403, "metrics are told in private networks only, and not through a proxy")
        text = await run_sync(exposition.render)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})

    return Route(PATH, tell, methods=["GET"])


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

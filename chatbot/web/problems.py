"""Errors as `application/problem+json` (RFC 9457), for everything that a request can run into."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from chatbot.errors import Malformed, NotSupported, RequestRefused, StoreUnavailable
from chatbot.web.correlation import HEADER, KEY

logger = logging.getLogger(__name__)
#: Seconds after which a sender should try again while the ledger does not answer.
STORE_RETRY_AFTER: Final = 2

Handler = Callable[[Request, Any], Awaitable[Response]]


def problem(
    status: int, detail: str, members: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a problem document. Further members never take the place of those that every problem has."""
    own = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    content = own | dict(members or {}) | own
    # Details of a refusal may hold whatever a channel found; an answer must not fail over it.
    body = msgspec.json.encode(content, enc_hook=str)
    return Response(body, status, headers, media_type="application/problem+json")


def unavailable(detail: str, retry_after: int, members: Mapping[str, object] | None = None) -> Response:
    """Return 503: the sender should send the same again after `retry_after` s."""
    return problem(503, detail, members, {"retry-after": str(retry_after)})


async def _refused(_: Request, exc: RequestRefused) -> Response:
    members: dict[str, object] = {}
    if isinstance(exc, Malformed):
        members = exc.details | ({"field": exc.field} if exc.field is not None else {})
    return problem(exc.status, str(exc), members, {"allow": "POST"} if isinstance(exc, NotSupported) else None)


async def _store_unavailable(_: Request, __: StoreUnavailable) -> Response:
    # Nothing of the error itself: a driver's message may hold the store's address. The committer logs it.
    return unavailable("the ledger cannot take messages now; please send this again", STORE_RETRY_AFTER)


async def _http_exception(_: Request, exc: HTTPException) -> Response:
    if exc.status_code in (204, 304):
        return Response(status_code=exc.status_code, headers=exc.headers)
    return problem(exc.status_code, exc.detail, headers=exc.headers)


async def _gone(_: Request, __: ClientDisconnect) -> Response:
    # Nobody reads this; without it every caller that hangs up would leave a traceback in the log.
    return problem(400, "the body ended early")


async def _unexpected(request: Request, __: Exception) -> Response:
    # Starlette answers this one outside of all middleware.
    headers = {HEADER: request.scope[KEY]} if KEY in request.scope else None
    return problem(500, "something unexpected went wrong here; it was logged", headers=headers)


HANDLERS: Final[Mapping[Any, Handler]] = {
    HTTPException: _http_exception,
    RequestRefused: _refused,
    StoreUnavailable: _store_unavailable,
    ClientDisconnect: _gone,
    Exception: _unexpected,
}


def handler_of(exc: Exception) -> Handler | None:
    """Return what answers for an error that a request is expected to run into; None for any other."""
    found = next(HANDLERS[kind] for kind in type(exc).__mro__ if kind in HANDLERS)
    return None if found is _unexpected else found

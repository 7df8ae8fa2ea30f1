"""Reading a request's body as the raw bytes that were signed, and no more of them than allowed."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body. Raises HTTPException 413 if it is declared, or turns out, to be longer than `limit` bytes."""
    _refuse(_declared(request), limit)
    first, more = await _chunk(request)
    _refuse(len(first), limit)
    if not more:
        return first
    body = bytearray(first)
    while more:
        chunk, more = await _chunk(request)
        body += chunk
        _refuse(len(body), limit)
    return bytes(body)


async def _chunk(request: Request) -> tuple[bytes, bool]:
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _declared(request: Request) -> int:
    try:
        return int(request.headers.get("content-length", 0))
    except ValueError:
        return 0  # the bytes themselves are counted as well


def _refuse(size: int, limit: int) -> None:
    if size > limit:
        raise HTTPException(413, f"the body is longer than {limit} bytes")

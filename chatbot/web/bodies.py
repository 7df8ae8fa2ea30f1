"""Reading a request's body as the raw bytes that were signed, and no more of them than allowed."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the body. Raises HTTPException 413 if it is declared, or turns out, to be longer than `limit` bytes."""
    _refuse(_declared(headers), limit)
    body, more = _chunk(await receive())
    _refuse(len(body), limit)
    if not more:
        return body
    gathered = bytearray(body)
    while more:
        body, more = _chunk(await receive())
        gathered += body
        _refuse(len(gathered), limit)
    return bytes(gathered)


def _chunk(message: Message) -> tuple[bytes, bool]:
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message.get("body", b""), message.get("more_body", False)


def _declared(headers: Mapping[str, str]) -> int:
    try:
        return int(headers.get("content-length", 0))
    except ValueError:
        return 0  # the bytes themselves are counted as well


def _refuse(size: int, limit: int) -> None:
    if size > limit:
        raise HTTPException(413, f"the body is longer than {limit} bytes")

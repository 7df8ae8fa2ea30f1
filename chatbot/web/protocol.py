"""HTTP as uvicorn speaks it, but with an answer in one write instead of two.

uvicorn writes the head of an answer and then its body. Each write is a trip into the kernel, a packet, and for who
asked a wake-up of its own: of an endpoint like ours a seventh of its time, see `chatbot bench accept`.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol


class OneWrite(AutoHTTPProtocol):  # type: ignore[misc,valid-type]
    """The protocol of one connection; for uvicorn's setting `http`."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin, with a transport that joins writes."""
        super().connection_made(cast(asyncio.Transport, Joining(transport, self.loop)))

    def eof_received(self) -> None:
        """Who asked has nothing more to say, but may still listen; the transport closes itself after this."""
        cast(Joining, self.transport).let_go()
        super().eof_received()


class Joining:
    """A transport, but a write waits for the next one and goes with it: at most until the event loop has run what it
    is about to, so nothing is late and no more than one write is ever held."""

    __slots__ = ("_held", "_loop", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held = b""
        self.is_closing = transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold what comes first, and send what comes next with it."""
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held + data)
        else:
            self._held = bytes(data)
            self._loop.call_soon(self.let_go)

    def close(self) -> None:
        """Send what is held, and close."""
        self.let_go()
        self._transport.close()

    def let_go(self) -> None:
        """Send what is held."""
        held, self._held = self._held, b""
        if held and not self.is_closing():  # else nobody is there any more
            self._transport.write(held)

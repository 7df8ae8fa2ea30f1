"""Where replies are found: in the outbox of `chatbot dev`, or at an address of our own that the service sends to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from chatbot.errors import ConfigurationError
from chatbot.operations.simulate.record import Received, Talk
from chatbot.web.outbox import PATH, Entry, Outbox

#: s between two looks.
LOOK = 0.1


class Source(Protocol):
    """Something that shows replies: each once, in the order in which they came."""

    async def fresh(self) -> Sequence[Entry]:
        """Return the replies since the last call."""

    def hint(self) -> str:
        """Return what may be wrong when no reply comes."""


class Poll:
    """Asks the outbox of `chatbot dev`."""

    def __init__(self, service: httpx.AsyncClient) -> None:
        self._service = service
        self._seen = 0

    async def open(self) -> None:
        """Skip what is there already. Raises ConfigurationError if there is no such outbox."""
        if await self._ask() is None:
            raise ConfigurationError(
                f"the service shows no replies at {PATH}, so they go elsewhere: start `chatbot dev` without "
                "CHATBOT_GENERIC_OUTBOUND_URL, or let them come here with --listen HOST:PORT"
            )

    async def fresh(self) -> Sequence[Entry]:
        try:
            return await self._ask() or ()
        except httpx.TransportError:
            return ()  # it may be starting again; what it has, it shows later

    def hint(self) -> str:
        return "no reply came: is a worker running, and what does the service's log say?"

    async def _ask(self) -> list[Entry] | None:
        response = await self._service.get(PATH.lstrip("/"), params={"after": self._seen})
        try:
            replies: list[Entry] = msgspec.json.decode(response.content, type=dict[str, list[Entry]])["replies"]
        except (msgspec.MsgspecError, KeyError):
            return None  # another service's page
        self._seen = max((reply["number"] for reply in replies), default=self._seen)
        return replies


class Listen:
    """Receives replies itself, as the generic channel's receiver or as WhatsApp's Graph API."""

    def __init__(self, channel: str, outbox: Outbox, address: tuple[str, int]) -> None:
        self._channel, self._outbox, self._address = channel, outbox, address
        self._seen = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen. Raises ConfigurationError if the address cannot be had."""
        sock = _bind(*self._address)
        config = uvicorn.Config(
            Starlette(routes=self._routes()),
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        try:
            yield
        finally:
            server.should_exit = True
            await serving
            sock.close()

    async def fresh(self) -> Sequence[Entry]:
        if self._outbox.refusal and not self._seen:
            raise ConfigurationError(
                f"replies come to --listen, but cannot be proved ({self._outbox.refusal}): give the service's own "
                + {"generic": "CHATBOT_GENERIC_SECRET", "whatsapp": "CHATBOT_WHATSAPP_ACCESS_TOKEN"}[self._channel]
            )
        replies = self._outbox.after(self._seen)
        self._seen = replies[-1]["number"] if replies else self._seen
        return replies

    def hint(self) -> str:
        variable = {"generic": "CHATBOT_GENERIC_OUTBOUND_URL", "whatsapp": "CHATBOT_WHATSAPP_GRAPH_URL"}[self._channel]
        return f"no reply came: is a worker running, and does its {variable} point to --listen?"

    def _routes(self) -> list[Route]:
        if self._channel == "generic":
            return [Route("/{path:path}", self._outbox.take, methods=["POST"])]
        # Some give the API's version as part of CHATBOT_WHATSAPP_GRAPH_URL, as in Meta's own.
        paths = ("/{account_id}/messages", "/{base:path}/{account_id}/messages")
        return [Route(path, self._outbox.take_whatsapp, methods=["POST"]) for path in paths]


class _Server(uvicorn.Server):
    """A server inside a program that has its own mind about signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def sort_in(source: Source, talks: Mapping[str, Talk]) -> None:
    """Hand each reply to its conversation, for ever. Other people's replies are left alone."""
    while True:
        for entry in await source.fresh():
            if (talk := talks.get(str(entry.get("conversation_id")))) is not None:
                talk.received.append(_received(entry))
                talk.news.set()
        await asyncio.sleep(LOOK)


def _received(entry: Mapping[str, Any]) -> Received:
    turn, position = entry.get("turn_id"), entry.get("position")
    return Received(
        reply_id=str(entry["reply_id"]),
        turn_id=turn if isinstance(turn, str) else None,
        position=position if isinstance(position, int) else None,
        text=str(entry.get("text") or ""),
        at=time.monotonic(),
    )


def _bind(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as exc:
        raise ConfigurationError(
            f"--listen {host}:{port} cannot be had ({exc.strerror or exc}): choose another port, or an address of this "
            "machine"
        ) from exc

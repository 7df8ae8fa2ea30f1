"""What our endpoint is compared with: the same webhook without any store, and the same on plain Dramatiq.

Both prove the signature and answer alike. `no store` is our own endpoint, whose messages go nowhere; `bare` is what
one writes in an afternoon: verify, then `send` each message in a thread.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import dramatiq
import msgspec
import uvicorn
from msgspec import Struct
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatbot.bench.load import say
from chatbot.bench.probe import stock_broker
from chatbot.channels import generic
from chatbot.channels.base import Channel
from chatbot.model import InboundMessage
from chatbot.web import app as web
from chatbot.web import garbage
from chatbot.web.answers import answer
from chatbot.web.protocol import OneWrite


class Endpoints(Struct, kw_only=True):
    """Which endpoint to serve, and where; `bare` sends to a broker."""

    kind: str
    port: int
    secret: str
    broker: str = ""


class Nowhere:
    """Stands where the committer stands, and takes everything at once."""

    def __init__(self, *_: object, **__: object) -> None:
        """It needs nothing."""

    async def start(self) -> None:
        """There is nothing to start."""
        say("ready")

    async def stop(self) -> None:
        """There is nothing to stop."""

    async def submit(self, messages: Sequence[InboundMessage]) -> list[str]:
        """Take messages."""
        return ["absorbed"] * len(messages)


async def _none(_: Sequence[InboundMessage]) -> tuple[str, ...]:
    """Never asked."""
    return ()


def no_store(channel: Channel) -> Starlette:
    """Return our application, whatever it consists of, without the way to a ledger."""
    # All of its layers are to be there but this one, which is no option of the application's.
    web.__dict__["Committer"] = Nowhere
    return web.create_app(channels={"generic": channel}, admit=_none, ready=dict)


def bare(channel: Channel, broker: dramatiq.Broker) -> Starlette:
    """Return an application that sends each message to an actor of plain Dramatiq."""

    @dramatiq.actor(broker=broker, queue_name="bare")
    def process(message: dict[str, Any]) -> None:
        """Never run: only the way in is measured."""

    async def receive(request: Request) -> Response:
        body = await request.body()
        channel.verify(request.headers, body)
        messages = msgspec.json.decode(body)["messages"]
        for message in messages:
            await run_in_threadpool(process.send, message)
        return answer({"accepted": len(messages), "duplicates": 0})

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        say("ready")
        yield

    return Starlette(routes=[Route("/webhooks/generic", receive, methods=["POST"])], lifespan=lifespan)


def main(argument: str) -> None:
    """Serve until we are stopped."""
    chosen = msgspec.json.decode(argument, type=Endpoints)
    channel = generic.create("generic", {"secret": chosen.secret, "outbound_url": "http://127.0.0.1:9/"})
    if chosen.kind == "bare":
        _serve(bare(channel, stock_broker(chosen.broker)), chosen.port)
    else:
        garbage.look_less_often()  # as our own web process does, which also writes like this
        _serve(no_store(channel), chosen.port, http=OneWrite, proxy_headers=False)


def _serve(app: Starlette, port: int, **options: Any) -> None:
    uvicorn.run(app, host="127.0.0.1", port=port, log_config=None, access_log=False, server_header=False, **options)


if __name__ == "__main__":
    main(sys.argv[1])

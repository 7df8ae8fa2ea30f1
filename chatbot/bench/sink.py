"""The receiver of replies: it counts them, and the messages that they name."""

from __future__ import annotations

import sys
import time
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatbot.bench.load import say
from chatbot.web.answers import answer


class Sink:
    """What came, without the texts: a soak has a million of them."""

    def __init__(self) -> None:
        self._replies: set[str] = set()
        self._named: set[str] = set()
        self._repeated = self._twice = 0
        self._last = 0.0

    async def take(self, request: Request) -> Response:
        """Take a reply. One that is repeated is counted apart, as a receiver that honours its id would."""
        reply = msgspec.json.decode(await request.body())
        self._last = time.time()
        if reply["reply_id"] in self._replies:
            self._repeated += 1
            return Response(status_code=204)
        self._replies.add(reply["reply_id"])
        for name in reply["text"].split():
            self._twice += name in self._named
            self._named.add(name)
        return Response(status_code=204)

    async def show(self, request: Request) -> Response:
        """Say how many replies came, how often one came again, how many messages they name and how many twice."""
        named = request.query_params.get("named")
        return answer({
            "replies": len(self._replies), "repeated": self._repeated, "messages": len(self._named),
            "twice": self._twice, "last": self._last, "has": named in self._named,
        })  # fmt: skip


def main(port: str) -> None:
    """Serve until we are stopped."""
    sink = Sink()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> Any:
        say("ready")
        yield

    routes = [Route("/", sink.take, methods=["POST"]), Route("/", sink.show, methods=["GET"])]
    app = Starlette(routes=routes, lifespan=lifespan)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_config=None, access_log=False)


if __name__ == "__main__":
    main(sys.argv[1])

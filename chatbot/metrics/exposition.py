"""/metrics, in Prometheus' text format: a route of the web application, and a small server for workers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anyio.to_thread
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chatbot.metrics.meters import Meters
from chatbot.metrics.standing import Standing

PATH = "/metrics"
#: s for which a connection may say nothing.
PATIENCE = 30.0


class Exposition:
    """All that a process has to tell."""

    def __init__(self, meters: Meters, standing: Standing) -> None:
        self.meters, self._standing = meters, standing

    def render(self) -> bytes:
        """Return the numbers as text. It may ask the store and the broker, so it may block for seconds."""
        registry = self.meters.registry()
        registry.register(self._standing)
        return generate_latest(registry)

    def route(self) -> Route:
        """Return the route of the web application."""
        return Route(PATH, self._answer, methods=["GET"])

    async def _answer(self, _: Request) -> Response:
        text = await anyio.to_thread.run_sync(self.render)
        return Response(text, headers={"content-type": CONTENT_TYPE_LATEST, "cache-control": "no-store"})

    def serve(self, sock: socket.socket) -> ThreadingHTTPServer:
        """Answer on a listening socket, in threads that end with the process. Several processes may share it."""
        # Of several processes that a connection wakes, one gets it; the others must not wait in accept().
        sock.setblocking(False)
        address = sock.getsockname()
        server = ThreadingHTTPServer(address[:2], _handler(self.render), bind_and_activate=False)
        server.socket.close()
        server.socket, server.daemon_threads = sock, True
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return server


def _handler(render: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != PATH:
                self.send_error(404)
                return
            text = render()
            self.send_response(200)
            self.send_header("content-type", CONTENT_TYPE_LATEST)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    return Handler

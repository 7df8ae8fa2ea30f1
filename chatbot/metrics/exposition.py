"""/metrics, in Prometheus' text format, and a small server of it for processes other than web, which says at /health
that they are up, and at /ready whether they work."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from chatbot.metrics.meters import Meters
from chatbot.metrics.standing import Standing

PATH = "/metrics"
HEALTH, READY = "/health", "/ready"
#: s for which a connection may say nothing.
PATIENCE = 30.0

#: Says of each thing that a process needs `ok`, or what is wrong. It may block.
Look = Callable[[], Mapping[str, str]]


class Exposition:
    """All that a process has to tell."""

    def __init__(self, meters: Meters, standing: Standing) -> None:
        self.meters, self._standing = meters, standing

    def render(self) -> bytes:
        """Return the numbers as text. It may ask the store and the broker, so it may block for seconds."""
        registry = self.meters.registry()
        registry.register(self._standing)
        return generate_latest(registry)

    def serve(self, sock: socket.socket, look: Look = dict) -> ThreadingHTTPServer:
        """Answer on a listening socket, in threads that end with the process. Several processes may share it."""
        # Of several processes that a connection wakes, one gets it; the others must not wait in accept().
        sock.setblocking(False)
        address = sock.getsockname()
        server = ThreadingHTTPServer(address[:2], _handler(self.render, look), bind_and_activate=False)
        server.socket.close()
        server.socket, server.daemon_threads = sock, True
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
        return server


def _handler(render: Callable[[], bytes], look: Look) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == PATH:
                self._send(200, CONTENT_TYPE_LATEST, render())
            elif path == HEALTH:
                self._send(200, "application/json", b'{"status":"ok"}')
            elif path == READY:
                seen = look()
                well = all(state == "ok" for state in seen.values())
                body = json.dumps({"status": "ready" if well else "not ready", **seen}).encode()
                self._send(200 if well else 503, "application/json", body)
            else:
                self.send_error(404)

        def _send(self, status: int, media_type: str, body: bytes) -> None:
            try:
                self.send_response(status)
                self.send_header("content-type", media_type)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # who asked did not wait for a store that takes its time

        def log_message(self, *args: object) -> None:
            """Say nothing: a scrape every few seconds is no news."""

    return Handler

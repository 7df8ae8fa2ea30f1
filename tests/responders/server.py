"""A real HTTP server on loopback that answers as a test says and keeps what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(slots=True)
class Service:
    """`status`, `headers` and `body` are its answer; `hang_up` closes the connection instead."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b'{"replies": []}'
    hang_up: bool = False
    #: Answers wait for it.
    open_gate: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Note one request and answer it."""
        content = handler.rfile.read(int(handler.headers["content-length"]))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        self.asked.append((handler.path, headers, content))
        self.connections.add(handler.client_address)
        self.open_gate.wait()
        if self.hang_up:
            handler.close_connection = True
            return
        handler.send_response(self.status)
        for name, value in {**self.headers, "content-length": str(len(self.body))}.items():
            handler.send_header(name, value)
        with suppress(ConnectionError):  # its client did not wait
            handler.end_headers()
            handler.wfile.write(self.body)


@contextmanager
def serve(service: Service) -> Iterator[Service]:
    """Run the service until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            service.answer(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Stay quiet."""

    service.open_gate.set()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}/reply"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield service
    finally:
        service.open_gate.set()
        server.shutdown()
        thread.join()
        server.server_close()

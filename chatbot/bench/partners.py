"""The others: a responder that is asked about turns, and a receiver of replies, as one real HTTP server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from chatbot.channels.standard_webhooks import read_secrets, verify

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


@dataclass
class Seen:
    """One request: when (monotonic s), its body as JSON, and its headers."""

    at: float
    body: dict[str, Any]
    headers: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a worker that was killed in the middle of a request


def count(turn: dict[str, Any]) -> list[str]:
    """Answer a turn with how many messages it has."""
    return [f"{len(turn['messages'])} messages"]


@dataclass
class Partners:
    """What was asked and what was received. While `free` is not set, the responder does not answer; about the
    conversations in `slow` it does not answer before the end. `answer` makes the texts of the replies to a turn."""

    answer: Callable[[dict[str, Any]], list[str]] = count
    asked: list[Seen] = field(default_factory=list)
    received: list[Seen] = field(default_factory=list)
    free: threading.Event = field(default_factory=threading.Event)
    slow: set[str] = field(default_factory=set)
    over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Partners:
        self.free.set()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.free.set()
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def asked_about(self, conversation: str) -> list[Seen]:
        return [seen for seen in self.asked if seen.body["conversation_id"] == conversation]

    def replies_to(self, conversation: str) -> list[Seen]:
        return [seen for seen in self.received if seen.body["conversation_id"] == conversation]

    def take(self, path: str, seen: Seen, raw: bytes) -> dict[str, Any]:
        if path == "/replies":
            verify(read_secrets(SECRET), seen.headers, raw)
            self.received.append(seen)
            return {}
        self.asked.append(seen)
        (self.over if seen.body["conversation_id"] in self.slow else self.free).wait(60)
        return {"replies": [{"text": text} for text in self.answer(seen.body)]}


def _handler(partners: Partners) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            seen = Seen(time.monotonic(), json.loads(raw), {k.lower(): v for k, v in self.headers.items()})
            answer = json.dumps(partners.take(self.path, seen, raw)).encode()
            try:
                self.send_response(200)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except OSError:
                self.close_connection = True  # the worker was killed while it waited

        def log_message(self, *args: object) -> None:
            pass

    return Handler

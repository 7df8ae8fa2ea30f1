"""A service over real HTTP that debounces like ours and can be told to do it badly."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from chatbot.channels.standard_webhooks import read_secrets, verify
from chatbot.errors import SignatureInvalid
from tests.e2e.partners import SECRET
from tests.operations.simulating import WAIT_MS

#: Messages of a burst that is whole.
WHOLE = 4
#: s from its last message to its reply.
SOON = 0.1


@dataclass
class BadService:
    """It answers a burst with its lines, as soon as it is whole, or else after its quiet time: no pause of a busy
    machine splits one. What it does badly:

    `drop`: one conversation gets no reply. `double`: one reply is sent twice. `split`: each message is a turn.
    `swap`: the second of two replies comes first. `shuffle`: a turn's messages are in the wrong order.
    `lose`: a message is taken and never answered. `forget`: what is sent again after the reply is answered again.
    `refuse`: every other delivery is answered 503 at first. `deaf`: every delivery is.
    """

    fault: str = ""
    words: str = "echo"
    delivered: int = 0
    replies: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._open: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._timers: dict[str, threading.Timer] = {}
        self.seen: set[tuple[str, str]] = set()
        self._forgotten: set[str] = set()
        self._turns = 0

    def take(self, message: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Take a delivery; return status and answer."""
        with self._lock:
            self.delivered += 1
            if self.fault == "deaf" or (self.fault == "refuse" and self.delivered % 2):
                return 503, {"detail": "not now"}
            name, key = message["conversation_id"], (message["conversation_id"], message["message_id"])
            if key in self.seen:
                return 200, {"accepted": 0, "duplicates": 1}
            self.seen.add(key)
            self._open[name].append(message)
            if name in self._timers:
                self._timers[name].cancel()
            self._timers[name] = threading.Timer(self._quiet(name), self._answer, (name,))
            self._timers[name].start()
            return 200, {"accepted": 1, "duplicates": 0}

    def _quiet(self, name: str) -> float:
        """Return the s to wait for another message. One that forgets must not do so before all repeats have come."""
        if self.fault == "forget":
            return SOON if name in self._forgotten else WAIT_MS / 1000
        return SOON if len(self._open[name]) == WHOLE else WAIT_MS / 1000

    def stop(self) -> None:
        with self._lock:
            for timer in self._timers.values():
                timer.cancel()

    def _answer(self, name: str) -> None:
        with self._lock:
            lines = [message["text"] for message in self._open.pop(name, [])]
            chosen = name.endswith("-1")
            if self.fault == "forget" and chosen:
                self._forgotten.add(name)
                self.seen = {key for key in self.seen if key[0] != name}
            if self.fault == "drop" and chosen:
                return
            if self.fault == "lose" and chosen:
                lines = lines[1:]
            if self.fault == "shuffle" and chosen:
                lines = lines[::-1]
            if self.fault == "split" and chosen:
                for line in lines:
                    self._reply(name, [line])
                return
            halves = [lines[: len(lines) // 2], lines[len(lines) // 2 :]] if self.words == "halves" else [lines]
            self._reply(name, ["\n".join(half) for half in halves])

    def _reply(self, name: str, texts: list[str]) -> None:
        self._turns += 1
        replies = [
            {
                "reply_id": f"turn{self._turns}_{position}",
                "turn_id": f"turn{self._turns}",
                "conversation_id": name,
                "position": position,
                "text": f"I have an answer {position}" if self.words == "own" else text,
            }
            for position, text in enumerate(texts)
        ]
        if self.fault == "double" and name.endswith("-1"):
            replies += replies
        if self.fault == "swap" and name.endswith("-1"):
            replies.reverse()
        for reply in replies:
            self.replies.append({**reply, "number": len(self.replies) + 1})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: a client that was told to stop hangs up in the middle."""


@contextmanager
def bad_service(fault: str = "", words: str = "echo") -> Iterator[BadService]:
    """Run one on loopback until the block ends. `words` are `echo`, its `own`, or two replies in `halves`."""
    service = BadService(fault, words)
    server = _Server(("127.0.0.1", 0), _handler(service))
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(service: BadService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            after = int(parse_qs(url.query).get("after", ["0"])[0])
            known = url.path == "/dev/replies"
            replies = [reply for reply in list(service.replies) if reply["number"] > after]
            self.answer(200 if known else 404, {"replies": replies} if known else {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path != "/webhooks/generic":
                return self.answer(404, {})
            try:
                verify(read_secrets(SECRET), {k.lower(): v for k, v in self.headers.items()}, body)
            except SignatureInvalid as exc:
                return self.answer(401, {"detail": str(exc)})
            return self.answer(*service.take(json.loads(body)))

        def answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    return Handler

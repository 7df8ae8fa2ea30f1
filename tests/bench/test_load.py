"""The sender of webhooks is honest: what it counts is what the server said, to requests that the channel accepts."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from chatbot.bench.load import APART, Load, drive, numbers, requests
from chatbot.bench.programs import SECRET
from chatbot.channels.standard_webhooks import read_secrets, verify


def load(count: int, *, port: int = 0, repeated: float = 0.0, connections: int = 4) -> Load:
    return Load(port=port, secret=SECRET, count=count, repeated=repeated, connections=connections)


class Endpoint(BaseHTTPRequestHandler):
    """Proves each request; refuses every fourth message, and knows the others again."""

    protocol_version = "HTTP/1.1"
    seen: Counter[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        verify(read_secrets(SECRET), {name.lower(): value for name, value in self.headers.items()}, body)
        (message,) = json.loads(body)["messages"]
        number = int(message["message_id"].rpartition("-")[2])
        status = 503 if number % 4 == 3 else 200
        self.seen[message["message_id"]] += 1
        new = self.seen[message["message_id"]] == 1
        answer = json.dumps({"accepted": int(new), "duplicates": int(not new)} if status == 200 else {}).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer[:1])
        self.wfile.flush()  # in two parts: an answer need not come in one piece
        self.wfile.write(answer[1:])

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def endpoint() -> Iterator[tuple[int, Counter[str]]]:
    seen: Counter[str] = Counter()
    handler = type("Handler", (Endpoint,), {"seen": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1], seen
        finally:
            server.shutdown()
            thread.join()


def test_statuses_and_counts_are_the_servers_own() -> None:
    with endpoint() as (port, seen):
        sent = load(40, port=port)
        answers = drive(sent, requests(sent))
    assert answers.statuses == {"200": 30, "503": 10}
    assert (answers.accepted, answers.duplicates) == (30, 0)
    assert len(seen) == 40
    assert 0 < answers.p50 <= answers.p99 <= answers.longest


def test_fewer_requests_than_connections_are_all_sent() -> None:
    with endpoint() as (port, seen):
        sent = load(2, port=port, connections=16)
        assert sum(drive(sent, requests(sent)).statuses.values()) == 2
    assert len(seen) == 2


def test_a_server_that_hangs_up_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        sent = load(1, port=server.getsockname()[1])
        with pytest.raises(ConnectionError):
            drive(sent, requests(sent))
        thread.join()


def test_a_share_of_the_messages_is_sent_again_after_its_original_was_answered() -> None:
    order = list(numbers(load(10_000, repeated=0.3)))
    first = {}
    again = 0
    for place, number in enumerate(order):
        if number in first:
            again += 1
            assert place - first[number] >= APART
        else:
            first[number] = place
    assert sorted(first) == list(range(len(first)))
    assert again / len(order) == pytest.approx(0.3 * (1 - APART / 10_000), abs=0.03)


def test_the_same_load_repeats_the_same_messages() -> None:
    assert list(numbers(load(3_000, repeated=0.5))) == list(numbers(load(3_000, repeated=0.5)))

"""The sender of webhooks: a process of its own that keeps many connections busy, and counts what it is answered.

Requests are signed before the clock starts, and one thread serves all sockets: it takes about a tenth of what the
server takes, so the server is what is measured.
"""

from __future__ import annotations

import random
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct

from chatbot.channels.standard_webhooks import read_secrets, sign

#: Requests between a message and its repetition: its original is answered by then.
APART = 1_000
#: s without any answer, after which the server is taken to be stuck.
STUCK = 30.0


class Load(Struct, kw_only=True):
    """What to send: `count` messages, one a request, `burst` of them in each conversation, a share of them twice."""

    port: int
    secret: str
    count: int
    tag: str = "m"
    connections: int = 64
    burst: int = 5
    repeated: float = 0.0


class Answers(Struct, kw_only=True):
    """What came back, and how long it took: `seconds` in all, percentiles of single requests in ms."""

    seconds: float
    statuses: dict[str, int]
    accepted: int
    duplicates: int
    p50: float
    p99: float
    longest: float

    @property
    def rate(self) -> float:
        """Requests a second."""
        return sum(self.statuses.values()) / self.seconds


class _Connection:
    __slots__ = ("buffer", "sent", "sock")

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.sent = b"", 0.0

    def send(self, request: bytes) -> None:
        self.sent = time.perf_counter()
        self.sock.sendall(request)

    def answer(self) -> tuple[int, bytes] | None:
        """Read on; return status and body once the answer is whole."""
        received = self.sock.recv(65_536)
        if not received:
            raise ConnectionError(f"the server hung up: {self.buffer!r}")
        self.buffer += received
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found or len(body) < int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]):
            return None
        self.buffer = b""
        return int(head[9:12]), body


def numbers(load: Load) -> Iterator[int]:
    """Yield the number of the message of each request: new ones, and a share of earlier ones again."""
    chance, fresh = random.Random(load.tag), 0
    for _ in range(load.count):
        if fresh > APART and chance.random() < load.repeated:
            yield chance.randrange(fresh - APART)
        else:
            yield fresh
            fresh += 1


def requests(load: Load) -> list[bytes]:
    """Return the signed requests."""
    keys = read_secrets(load.secret)
    return [_request(load, keys, place, number) for place, number in enumerate(numbers(load))]


def _request(load: Load, keys: Sequence[bytes], place: int, number: int) -> bytes:
    conversation = f"{load.tag}-{number // load.burst}"
    message = {
        "message_id": f"{load.tag}-{number}",
        "conversation_id": conversation,
        "sender_id": f"user-of-{conversation}",
        "text": f"line {number % load.burst} of a burst",
    }
    body = msgspec.json.encode({"messages": [message]})
    head = {"host": "127.0.0.1", "content-type": "application/json", "content-length": str(len(body))}
    head |= sign(keys, f"{load.tag}-{place}", body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"POST /webhooks/generic HTTP/1.1\r\n{lines}\r\n".encode() + body


def drive(load: Load, waiting: Sequence[bytes]) -> Answers:
    """Send everything, each connection its next request when the one before is answered."""
    statuses: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    times: list[float] = []
    left = iter(waiting)
    with selectors.DefaultSelector() as selector, ExitStack() as sockets:
        started = time.perf_counter()
        for request in islice(left, load.connections):
            connection = _Connection(load.port)
            sockets.enter_context(connection.sock)
            selector.register(connection.sock, selectors.EVENT_READ, connection)
            connection.send(request)
        while len(times) < len(waiting):
            ready = selector.select(STUCK)
            if not ready:
                raise TimeoutError(f"no answer for {STUCK} s, after {len(times)} of them")
            for key, _ in ready:
                _turn(key.data, left, statuses, totals, times)
        seconds = time.perf_counter() - started
    times.sort()
    return Answers(
        seconds=seconds, statuses=dict(statuses), accepted=totals["accepted"], duplicates=totals["duplicates"],
        p50=_at(times, 50), p99=_at(times, 99), longest=times[-1] * 1000,
    )  # fmt: skip


def _turn(
    connection: _Connection, left: Iterator[bytes], statuses: Counter[str], totals: Counter[str], times: list[float]
) -> None:
    answer = connection.answer()
    if answer is None:
        return
    times.append(time.perf_counter() - connection.sent)
    status, body = answer
    statuses[str(status)] += 1
    if status == 200:
        totals.update(msgspec.json.decode(body, type=dict[str, int]))
    if (request := next(left, None)) is not None:
        connection.send(request)


def _at(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, len(ordered) * percent // 100 - 1)] * 1000


def main(argument: str) -> None:
    """Say `ready`, wait for a line, send, and print what was answered."""
    load = msgspec.json.decode(argument, type=Load)
    waiting = requests(load)
    say("ready")
    sys.stdin.readline()
    say(drive(load, waiting))


def say(event: Any) -> None:
    """Report to the benchmark."""
    print(msgspec.json.encode(event).decode(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

"""An answer is one write, and whatever else goes over a connection still comes whole and in time."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.web.house import served

MEBIBYTE = 1_048_576


async def short(_: Request) -> Response:
    return PlainTextResponse("short")


async def large(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(64):
            yield bytes([number]) * MEBIBYTE

    return StreamingResponse(parts())


async def slow(_: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.Event().wait()  # whoever waits for more has hung up before

    return StreamingResponse(parts())


async def breaks(_: Request) -> Response:
    raise ZeroDivisionError


async def held(_: Request) -> Response:
    busy.set()
    assert gate.wait(20)  # the event loop sees nothing of what comes meanwhile
    return PlainTextResponse("held")


busy, gate = threading.Event(), threading.Event()


@pytest.fixture
def url() -> Iterator[str]:
    routes = [Route(f"/{answers.__name__}", answers) for answers in (short, large, slow, breaks, held)]
    with served(Starlette(routes=routes), timeout_graceful_shutdown=1) as url:
        yield url


@pytest.fixture
def connect(url: str) -> Iterator[Callable[[], socket.socket]]:
    made: list[socket.socket] = []

    def connect() -> socket.socket:
        parts = urlsplit(url)
        made.append(socket.create_connection((parts.hostname, parts.port), timeout=20))
        return made[-1]

    yield connect
    for connection in made:
        connection.close()


def asks(path: str, *headers: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (f"GET {path} HTTP/1.1", "host: here", *headers, "")).encode()


def test_an_answer_comes_in_one_piece(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    for _ in range(200):  # of two packets, one would come alone sooner or later
        connection.sendall(asks("/short"))
        assert connection.recv(65_536).endswith(b"\r\n\r\nshort")


def test_what_comes_in_parts_comes_when_it_is_there(connect: Callable[[], socket.socket]) -> None:
    connection, received = connect(), b""
    connection.sendall(asks("/slow"))
    while b"first" not in received:
        received += connection.recv(65_536)
    assert received.startswith(b"HTTP/1.1 200")


def test_a_large_answer_to_a_slow_reader_comes_whole(url: str) -> None:
    with httpx.stream("GET", f"{url}/large", trust_env=False, timeout=60) as answer:
        received = b"".join(answer.iter_bytes())
    assert received == b"".join(bytes([number]) * MEBIBYTE for number in range(64))


def test_requests_that_do_not_wait_are_answered_in_order(connect: Callable[[], socket.socket]) -> None:
    connection, received = connect(), b""
    connection.sendall(asks("/short") * 20 + asks("/nowhere", "connection: close"))
    while part := connection.recv(65_536):
        received += part
    assert received.count(b"\r\n\r\nshort") == 20
    assert received.rindex(b"HTTP/1.1 404") > received.rindex(b"short")


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (asks("/short", "connection: close"), b"short"),
        (b"GET /short HTTP/1.0\r\n\r\n", b"short"),
        (b"garbage\r\n\r\n", b"Invalid HTTP request received."),
        (asks("/breaks", "connection: close"), b"Internal Server Error"),
    ],
)
def test_a_connection_that_is_closed_has_told_everything(
    connect: Callable[[], socket.socket], sent: bytes, told: bytes
) -> None:
    connection, received = connect(), b""
    connection.sendall(sent)
    while part := connection.recv(65_536):
        received += part
    assert received.endswith(told)


def test_who_stops_sending_still_hears_everything(connect: Callable[[], socket.socket]) -> None:
    connection, received = connect(), b""
    busy.clear()
    gate.clear()
    connection.sendall(b"HEAD /held HTTP/1.1\r\nhost: here\r\n\r\n")
    assert busy.wait(20)
    connection.shutdown(socket.SHUT_WR)
    gate.set()
    while part := connection.recv(65_536):
        received += part
    assert received.startswith(b"HTTP/1.1 200")
    assert received.endswith(b"\r\n\r\n")


def test_a_body_is_asked_for_when_its_sender_wants_that(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    connection.sendall(asks("/short", "expect: 100-continue", "content-length: 1"))
    assert connection.recv(65_536).startswith(b"HTTP/1.1 ")


def test_who_hangs_up_in_between_leaves_no_error(
    connect: Callable[[], socket.socket], url: str, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(20):
        connection = connect()
        connection.sendall(asks("/large"))
        connection.close()
    assert httpx.get(f"{url}/short", trust_env=False).text == "short"
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []

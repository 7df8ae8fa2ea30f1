"""What an HTTP exchange means, told against a real server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import httpx
import pytest

from chatbot import http_client
from chatbot.errors import Ambiguous, Permanent, Transient
from tests.responders.server import Service, serve
from tests.waiting import wait_until


@pytest.fixture
def service() -> Iterator[Service]:
    with serve(Service()) as running:
        yield running


@pytest.fixture
def patience() -> float:
    """s in which an answer is to come."""
    return 30


@pytest.fixture
def client(patience: float) -> Iterator[httpx.Client]:
    connections = http_client.Connections(timeout_s=patience)
    yield connections.client()
    connections.close()


def post(client: httpx.Client, url: str, **headers: str) -> httpx.Response:
    return http_client.post(client, url, content=b"{}", headers=headers)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_returned(service: Service, client: httpx.Client, status: int) -> None:
    service.status, service.body = status, b"" if status == 204 else b"fine"
    assert post(client, service.url).content == service.body


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_or_broken_peer_is_transient(service: Service, client: httpx.Client, status: int) -> None:
    service.status, service.headers = status, {"retry-after": "7"}
    with pytest.raises(Transient) as caught:
        post(client, service.url)
    assert caught.value.retry_after == 7
    assert not isinstance(caught.value, Ambiguous)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 410, 422])
def test_any_other_status_is_permanent_and_is_told_with_the_answer(
    service: Service, client: httpx.Client, status: int
) -> None:
    service.status, service.body = status, b"no such thing" + b"." * 1000
    service.headers = {"location": service.url}
    with pytest.raises(Permanent, match=rf"127.0.0.1:\d+ answered {status}: no such thing") as caught:
        post(client, service.url)
    assert len(str(caught.value)) < 300
    assert len(service.asked) == 1


def test_a_peer_that_is_not_there_is_transient_because_nothing_was_sent(client: httpx.Client) -> None:
    with pytest.raises(Transient) as caught:
        post(client, f"http://127.0.0.1:{free_port()}/")
    assert not isinstance(caught.value, Ambiguous)


@pytest.mark.parametrize("patience", [0.5])
def test_a_peer_that_does_not_answer_leaves_the_outcome_unknown(service: Service, client: httpx.Client) -> None:
    service.open_gate.clear()
    with pytest.raises(Ambiguous, match="ReadTimeout"):
        post(client, service.url)
    wait_until(lambda: service.asked)
    assert len(service.asked) == 1


def test_a_connection_that_breaks_after_sending_leaves_the_outcome_unknown(
    service: Service, client: httpx.Client
) -> None:
    service.hang_up = True
    with pytest.raises(Ambiguous, match="RemoteProtocolError"):
        post(client, service.url)


@pytest.mark.parametrize("patience", [2])
def test_an_answer_that_drips_is_given_up_when_the_time_is_over(client: httpx.Client) -> None:
    class Dripping(Service):
        def answer(self, handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("content-length", "1000000")
            handler.end_headers()
            handler.close_connection = True
            try:
                for _ in range(1000):
                    handler.wfile.write(b".")
                    threading.Event().wait(0.05)
            except ConnectionError:
                return

    started = time.monotonic()
    with serve(Dripping()) as service, pytest.raises(Ambiguous, match="took too long"):
        post(client, service.url)
    assert time.monotonic() - started < 10


def test_an_answer_without_end_is_given_up(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "MOST_BYTES", 10)
    service.body = b"." * 11
    with pytest.raises(Ambiguous, match="longer than 10 bytes"):
        post(client, service.url)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "127.0.0.1:80", "http://[::", ""])
def test_a_url_that_cannot_be_posted_to_is_permanent(client: httpx.Client, url: str) -> None:
    with pytest.raises(Permanent):
        post(client, url)


def test_errors_hide_the_credential_that_was_sent(service: Service, client: httpx.Client) -> None:
    service.status, service.body = 400, b"Malformed access token TOKEN-1"
    with pytest.raises(Permanent, match=r"Malformed access token \*\*\*"):
        post(client, service.url, authorization="Bearer TOKEN-1")


def test_errors_show_neither_path_nor_query_nor_user(service: Service, client: httpx.Client) -> None:
    service.status = 400
    url = service.url.replace("//", "//user:hunter2@").replace("/reply", "/private?key=hunter3")
    with pytest.raises(Permanent) as caught:
        post(client, url)
    assert service.asked[0][0] == "/private?key=hunter3"
    assert not any(secret in str(caught.value) for secret in ("user", "hunter2", "hunter3", "private"))


def test_retry_after_takes_seconds_and_dates_and_leaves_the_rest() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    earlier = format_datetime(datetime.now(UTC) - timedelta(seconds=100), usegmt=True)
    assert http_client.retry_after({"retry-after": "2.5"}) == 2.5
    assert http_client.retry_after({"retry-after": later}) == pytest.approx(100, abs=5)
    assert http_client.retry_after({"retry-after": earlier}) == 0
    assert http_client.retry_after({"retry-after": "-1"}) == 0
    for useless in ("", "soon", "inf", "nan", "Mon, 99 Foo 2026"):
        assert http_client.retry_after({"retry-after": useless}) is None
    assert http_client.retry_after({}) is None


def test_what_an_answer_asks_to_be_remembered_is_not(service: Service, client: httpx.Client) -> None:
    service.headers = {"set-cookie": "who=somebody; path=/"}
    post(client, service.url)
    post(client, service.url)
    assert [headers.get("cookie") for _, headers, _ in service.asked] == [None, None]


def test_connections_are_pooled_and_open_again_after_a_close(service: Service) -> None:
    connections = http_client.Connections(timeout_s=5)
    for _ in range(3):
        post(connections.client(), service.url)
    assert len(service.connections) == 1
    connections.close()
    connections.close()
    post(connections.client(), service.url)
    assert len(service.connections) == 2
    connections.close()


def test_threads_share_one_client() -> None:
    connections = http_client.Connections(timeout_s=5)
    seen: set[int] = set()
    start = threading.Barrier(8)

    def look() -> None:
        start.wait()
        seen.add(id(connections.client()))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    connections.close()
    assert len(seen) == 1

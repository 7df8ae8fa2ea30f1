"""The login of real web processes, and when they refuse to start."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from chatbot import pages
from chatbot.processes.tether import tethered
from chatbot.service import build
from tests.admin.browser import HTML, PASSWORD, browsing
from tests.servers import RedisServer, free_port
from tests.waiting import wait_until

HERE = {"address": "127.0.0.1", "host": "http://localhost:8000"}


def settings(store: RedisServer) -> dict[str, str]:
    return {
        "CHATBOT_STORE_URL": store.url,
        "CHATBOT_BROKER_URL": store.url,
        "CHATBOT_NAMESPACE": f"admin{free_port()}",
        "CHATBOT_GENERIC_SECRET": "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
        "CHATBOT_GENERIC_OUTBOUND_URL": "http://127.0.0.1:9/replies",
    }


def environment(given: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")} | given


@contextlib.contextmanager
def web(given: dict[str, str], directory: Path, *arguments: str) -> Iterator[httpx.Client]:
    """Run `chatbot web` until it answers; give a browser's client."""
    port = free_port()
    argv = tethered([sys.executable, "-m", "chatbot", "web", "--port", str(port), *arguments])
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(argv, env=environment(given), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=HTML, timeout=30) as client:
        try:
            wait_until(lambda: process.poll() is not None or answers(client), 30)
            yield client
        finally:
            process.terminate()
            process.wait(20)


def answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/health").status_code == 200
    return False


def log_in(client: httpx.Client, password: str) -> int:
    (token,) = re.findall(r'name="csrf-token" content="([^"]+)"', client.get("/login").text)
    form = {"csrf_token": token, "user": "admin", "password": password, "next": "/dashboard/"}
    return client.post("/login", data=form).status_code


@pytest.mark.parametrize("workers", ["1", "2"])
def test_web_does_not_start_without_a_password_and_says_the_cure(redis_server: RedisServer, workers: str) -> None:
    argv = [sys.executable, "-m", "chatbot", "web", "--port", str(free_port()), "--workers", workers]
    ended = subprocess.run(argv, env=environment(settings(redis_server)), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "CHATBOT_ADMIN_PASSWORD is missing" in ended.stderr
    assert "Set it to a password" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_web_processes_share_sessions_and_the_count_of_logins(redis_server: RedisServer, tmp_path: Path) -> None:
    given = settings(redis_server) | {"CHATBOT_ADMIN_PASSWORD": PASSWORD}
    with web(given, tmp_path, "--workers", "2") as client:
        assert client.get("/dashboard/").headers["location"] == "/login?next=/dashboard/"
        assert log_in(client, PASSWORD) == 303
        for _ in range(8):  # each on a connection of its own, so on either process
            assert client.get("/dashboard/", headers={"connection": "close"}).status_code == 200
        assert client.get("/static/admin/style.css").status_code == 200
        client.cookies.clear()
        assert [log_in(client, "wrong horse") for _ in range(6)] == [401] * 5 + [429]
    log = (tmp_path / "log").read_text()
    assert "a login from 127.0.0.1 failed" in log
    assert "wrong horse" not in log
    assert PASSWORD not in log


def test_a_proxy_of_this_machine_names_whom_it_has_logged_in(redis_server: RedisServer, tmp_path: Path) -> None:
    proxy = {"CHATBOT_ADMIN_PROXY_HEADER": "X-Remote-User", "CHATBOT_ADMIN_PROXY_IPS": "127.0.0.1"}
    sent_on = {"x-forwarded-for": "198.51.100.1", "x-forwarded-proto": "https"}
    with web(settings(redis_server) | proxy, tmp_path) as client:
        assert client.get("/dashboard/", headers=sent_on | {"x-remote-user": "olga"}).status_code == 200
        assert client.get("/dashboard/", headers=sent_on).status_code == 303
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("bound", "dev", "status"), [("127.0.0.1", True, 200), ("0.0.0.0", True, 303), ("127.0.0.1", False, 303)]
)
def test_only_chatbot_dev_on_loopback_is_open(redis_server: RedisServer, bound: str, dev: bool, status: int) -> None:
    service = build(settings(redis_server) | {"CHATBOT_ADMIN_PASSWORD": PASSWORD})
    with socket.socket() as sock:  # it never listens
        sock.bind((bound, 0))
        app = Starlette(routes=pages.routes(service, sock, dev=dev))
    with browsing(app, **HERE) as browser:
        assert browser.get("/dashboard/").status_code == status
    service.close()

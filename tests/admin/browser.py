"""What a browser does, without one: it keeps cookies, and sends back the token that a page has."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from starlette.types import ASGIApp

HTML = {"accept": "text/html"}
PASSWORD = "correct horse battery"


class Browser:
    """Somebody at `address`, who speaks to an application by its `host`."""

    def __init__(self, app: ASGIApp, address: str, host: str) -> None:
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app=app, client=(address, 40_000))
        self._client = httpx.AsyncClient(transport=transport, base_url=host, headers=HTML)
        self.cookies = self._client.cookies

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._runner.run(self._client.get(path, headers=_headers(headers)))

    def post(self, path: str, form: dict[str, Any], **headers: str) -> httpx.Response:
        return self._runner.run(self._client.post(path, data=form, headers=_headers(headers)))

    def send(self, method: str, path: str, **what: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **what))

    def token(self, path: str = "/login", **headers: str) -> str:
        """Return the token of a page."""
        (token,) = set(re.findall(r'<meta name="csrf-token" content="([^"]+)">', self.get(path, **headers).text))
        return token

    def submit(self, path: str, page: str = "/login", **form: str) -> httpx.Response:
        """Send a form of a page."""
        return self.post(path, {"csrf_token": self.token(page), **form})

    def log_in(self, password: str = PASSWORD, user: str = "admin", after: str = "/") -> httpx.Response:
        return self.submit("/login", user=user, password=password, next=after)


@contextmanager
def browsing(app: ASGIApp, address: str = "203.0.113.7", host: str = "http://chatbot.test") -> Iterator[Browser]:
    """Lend a browser."""
    browser = Browser(app, address, host)
    try:
        yield browser
    finally:
        browser.close()


def _headers(given: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in given.items()}

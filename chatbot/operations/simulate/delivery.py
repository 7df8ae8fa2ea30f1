"""Delivering as providers do: at a pace, and again after a refusal that may pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from chatbot import http_client
from chatbot.errors import ChatbotError, ConfigurationError
from chatbot.operations.simulate.provider import Provider

#: s until a delivery is repeated, where the service does not say.
AGAIN = 0.5
TIMEOUT = 10.0


class Unaccepted(ChatbotError):
    """The service did not take the delivery in time."""


class Pace:
    """So many turns a second for all who ask, in the order in which they ask."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for the next turn."""
        now = time.monotonic()
        at = max(now, self._next)
        self._next = at + self._interval
        await asyncio.sleep(at - now)


@dataclass(frozen=True, slots=True)
class Answer:
    """A 2xx answer to a delivery: accepted, duplicate, or only taken if it does not say. Times are monotonic, in s."""

    outcome: str
    attempts: int
    sent: float
    answered: float


class Postman:
    """POSTs a provider's bodies to the webhook of its channel; `delayed` is told why one has to be repeated."""

    def __init__(
        self, client: httpx.AsyncClient, provider: Provider, *, timeout: float, delayed: Callable[[str], None]
    ) -> None:
        self._client, self._provider, self._timeout, self._delayed = client, provider, timeout, delayed

    async def deliver(self, body: bytes) -> Answer:
        """Deliver until it is taken. Raises Unaccepted if it is not within the timeout, ConfigurationError if it never
        will be."""
        began, attempts = time.monotonic(), 0
        while True:
            attempts += 1
            response, problem = await self._post(body)
            if response is not None and response.is_success:
                return Answer(self._outcome(response), attempts, began, time.monotonic())
            pause = (http_client.retry_after(response.headers) if response is not None else None) or AGAIN
            if time.monotonic() + pause > began + self._timeout:
                raise Unaccepted(problem)
            self._delayed(problem)
            await asyncio.sleep(pause)

    async def _post(self, body: bytes) -> tuple[httpx.Response | None, str]:
        """Return the answer, if there is one, and what is wrong with it."""
        path, headers = f"webhooks/{self._provider.channel}", self._provider.headers(body)
        try:
            response = await self._client.post(path, content=body, headers=headers)
        except httpx.TransportError as exc:
            return None, f"{type(exc).__name__} {exc}".strip()
        if not response.is_success and response.status_code != 429 and response.status_code < 500:
            raise ConfigurationError(self._cure(response))
        return response, f"it answered {response.status_code}: {_detail(response)}"

    def _cure(self, response: httpx.Response) -> str:
        channel, variable = self._provider.channel, self._provider.secret_variable
        match response.status_code:
            case 401:
                return f"the service does not accept our signature: give its {variable}, or the same as --secret"
            case 404:
                return (
                    f"the service has no channel {channel}: start it with CHATBOT_CHANNELS=generic,whatsapp, "
                    "or give another --channel or --url"
                )
            case status:
                return f"the service answered {status} to a message of {channel}: {_detail(response)}"

    def _outcome(self, response: httpx.Response) -> str:
        counts = _json(response)
        if counts.get("accepted"):
            return "accepted"
        if counts.get("duplicates"):
            return "duplicate"
        if counts.get("ignored"):
            raise ConfigurationError(
                "the service ignored our message: it serves one number only, so set "
                "CHATBOT_WHATSAPP_PHONE_NUMBER_ID to the same as there"
            )
        return "taken"


def client(url: str) -> httpx.AsyncClient:
    """Return a client of the service. Raises ConfigurationError for what is no http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError(f"--url {url} is no http:// or https:// URL: give for example http://127.0.0.1:8000")
    own = parts.hostname in ("localhost", "127.0.0.1", "::1")  # a proxy does not reach our loopback
    timeout = httpx.Timeout(TIMEOUT, pool=None)
    return httpx.AsyncClient(base_url=url, timeout=timeout, trust_env=not own)


async def must_answer(service: httpx.AsyncClient) -> None:
    """Raise ConfigurationError if nothing answers there."""
    try:
        await service.get("health")
    except httpx.TransportError as exc:
        raise ConfigurationError(
            f"nothing answers at {service.base_url} ({exc or type(exc).__name__}): "
            "start `chatbot dev` first, or give --url"
        ) from exc


def _detail(response: httpx.Response) -> str:
    detail = _json(response).get("detail")
    return detail if isinstance(detail, str) else http_client.excerpt(response)


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}

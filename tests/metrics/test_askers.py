"""The web process tells its metrics to those who are near, not to the public that may reach its webhooks."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.applications import Starlette

from chatbot.metrics.exposition import Exposition
from chatbot.metrics.meters import Meters
from chatbot.metrics.standing import Standing
from chatbot.stores.memory import MemoryStore
from chatbot.web.metrics import metrics
from chatbot.web.problems import HANDLERS


def asked(address: str, **headers: str) -> httpx.Response:
    exposition = Exposition(Meters(), Standing(MemoryStore(), lambda: {"store": "ok", "broker": "ok"}))
    app = Starlette(routes=[metrics(exposition)], exception_handlers=dict(HANDLERS))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, client=(address, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://chatbot.test") as client:
            return await client.get(
                "/metrics", headers={name.replace("_", "-"): text for name, text in headers.items()}
            )

    return asyncio.run(ask())


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "::1", "10.1.2.3", "172.18.0.5", "192.168.0.9", "100.64.1.1", "::ffff:10.0.0.1", "fd00::5"]
)
def test_who_is_near_is_told(address: str) -> None:
    answer = asked(address)
    assert answer.status_code == 200
    assert "chatbot_store_up 1.0" in answer.text


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_who_is_not_is_refused(address: str) -> None:
    answer = asked(address)
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "chatbot_" not in answer.text


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "x_real_ip", "via", "x_forwarded_host"])
def test_what_comes_through_a_proxy_is_refused_whatever_it_claims(header: str) -> None:
    assert asked("10.1.2.3", **{header: "127.0.0.1"}).status_code == 403
    assert asked("127.0.0.1", **{header: "127.0.0.1"}).status_code == 403

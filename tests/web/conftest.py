"""The application under uvicorn, with what stands behind it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from chatbot.channels import create
from chatbot.web.app import create_app
from tests.web.house import Ledger, Plain, served

GENERIC_SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    yield made
    made.gate.set()


@pytest.fixture
def plain() -> Plain:
    return Plain()


@pytest.fixture
def app(ledger: Ledger, plain: Plain):
    channels = [plain, Plain("stubborn", sender_mends=False)]
    channels += [
        create("generic", {"secret": GENERIC_SECRET, "outbound_url": "http://127.0.0.1:1/"})[1],
        create("whatsapp", {"app_secret": "app", "verify_token": "verify", "access_token": "access"})[1],
    ]
    return create_app(channels={channel.name: channel for channel in channels}, admit=ledger.admit, ready=ledger.look)


@pytest.fixture
def web(app) -> Iterator[httpx.Client]:
    """A client of the running application."""
    with served(app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client

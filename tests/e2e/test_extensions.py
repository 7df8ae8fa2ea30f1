"""What CONTRIBUTING.md says: a channel, a responder, a store and a broker of one's own need no line in this project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.e2e.deployment import Deployment, deployed
from tests.waiting import wait_until

PACKAGE = '''
from datetime import datetime
import httpx, msgspec
from chatbot.brokers.redis import RedisBroker
from chatbot.channels.base import Parsed
from chatbot.channels.options import Options
from chatbot.errors import SignatureInvalid
from chatbot.model import InboundMessage
from chatbot.stores.redis import RedisStore


class Pigeon:
    """One line of text a message, on paper: `id conversation text`."""
    media_types, resend_horizon, sender_mends = frozenset({"text/plain"}), 1000, True
    def __init__(self, name, ring, loft): self.name, self.ring, self.loft = name, ring, loft
    def verify(self, headers, body):
        if headers.get("x-ring") != self.ring: raise SignatureInvalid()
    def parse(self, body, received_at):
        found = [line.split(" ", 2) for line in body.decode().splitlines()]
        return Parsed(messages=tuple(self._message(*line) for line in found))
    def _message(self, number, place, text):
        return InboundMessage(
            channel=self.name, conversation_id=place, message_id=number, dedupe_key=f"{place}:{number}", text=text)
    def handshake(self, query): return "coo"
    def send(self, reply):
        httpx.post(self.loft, json={"conversation_id": reply.conversation_id, "messages": [], "text": reply.text})
    def close(self): pass


def channel(name, options):
    given = Options(name, options)
    ring, loft = given.required("ring", "tie one to its leg"), given.url("loft", "where it flies to")
    given.check()
    return Pigeon(name, ring, loft)

def store(*, namespace): return RedisStore("STORE", namespace=namespace)
def broker(*, middleware): return RedisBroker(url="BROKER", middleware=middleware, namespace="mine")
async def reply(turn): return [f"{len(turn.messages)} on paper"]
'''


@pytest.fixture
def house(private_redis: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    store, broker = private_redis(), private_redis()
    (tmp_path / "aviary.py").write_text(PACKAGE.replace("STORE", store.url).replace("BROKER", broker.url))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with deployed(store, broker, CHATBOT_DEBOUNCE_WAIT_MS="200") as deployment:
        deployment.settings |= {
            "CHATBOT_CHANNELS": "pigeon=aviary:channel",
            "CHATBOT_PIGEON_RING": "red",
            "CHATBOT_PIGEON_LOFT": f"{deployment.partners.url}/loft",
            "CHATBOT_STORE_URL": "aviary:store",
            "CHATBOT_BROKER_URL": "aviary:broker",
            "CHATBOT_RESPONDER": "aviary:reply",
        }
        yield deployment


def test_a_channel_a_responder_a_store_and_a_broker_come_from_a_foreign_package(house: Deployment) -> None:
    house.start_web()
    house.start_worker()
    headers = {"x-ring": "red", "content-type": "text/plain; charset=utf-8"}
    answer = house.client.post("/webhooks/pigeon", content="1 attic hello\n2 attic there\n", headers=headers)
    assert answer.json() == {"accepted": 2, "duplicates": 0}
    assert house.client.get("/webhooks/pigeon").text == "coo"
    assert house.client.post("/webhooks/pigeon", content="", headers={"content-type": "text/plain"}).status_code == 401
    flown = wait_until(lambda: house.partners.asked)
    assert [(seen.body["conversation_id"], seen.body["text"]) for seen in flown] == [("attic", "2 on paper")]


def test_what_a_foreign_package_lacks_is_said(house: Deployment) -> None:
    house.settings["CHATBOT_PIGEON_RING"] = ""
    process = house.start("web", "--port", str(house.port))
    assert process.popen.wait(20) == 2
    assert "CHATBOT_PIGEON_RING is missing: tie one to its leg" in process.output()
    with pytest.raises(httpx.ConnectError):
        house.client.get("/health")

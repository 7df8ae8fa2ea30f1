"""WhatsApp's webhook in the running service, with what Meta sends and with what it never should."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.deployment import Deployment, deployed
from tests.waiting import wait_until

APP_SECRET, VERIFY_TOKEN = "an app secret", "a verify token"


@pytest.fixture
def house(private_redis: Callable[..., Any]) -> Iterator[Deployment]:
    server = private_redis()
    settings = {
        "CHATBOT_CHANNELS": "whatsapp",
        "CHATBOT_WHATSAPP_APP_SECRET": APP_SECRET,
        "CHATBOT_WHATSAPP_VERIFY_TOKEN": VERIFY_TOKEN,
        "CHATBOT_WHATSAPP_ACCESS_TOKEN": "an access token",
        "CHATBOT_DEBOUNCE_WAIT_MS": "200",
    }
    with deployed(server, server, **settings) as deployment:
        deployment.settings["CHATBOT_WHATSAPP_GRAPH_URL"] = deployment.partners.url
        deployment.start_web()
        yield deployment


def post(
    house: Deployment, body: bytes, signature: str | None = "right", kind: str = "application/json"
) -> httpx.Response:
    headers = {"content-type": kind}
    if signature == "right":
        signature = "sha256=" + hmac.new(APP_SECRET.encode(), body, "sha256").hexdigest()
    if signature is not None:
        headers["x-hub-signature-256"] = signature
    return house.client.post("/webhooks/whatsapp", content=body, headers=headers)


def text(number: int, sender: str = "4915550001") -> dict[str, Any]:
    return {
        "from": sender,
        "id": f"wamid.{number}",
        "timestamp": "1772998024",
        "type": "text",
        "text": {"body": f"line {number}"},
    }


def entry(*messages: Any, statuses: tuple[Any, ...] = ()) -> dict[str, Any]:
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550001111", "phone_number_id": "100001"},
        "messages": list(messages),
        "statuses": list(statuses),
    }
    return {"id": "1", "changes": [{"field": "messages", "value": value}]}


def body(*entries: dict[str, Any]) -> bytes:
    return json.dumps({"object": "whatsapp_business_account", "entry": list(entries)}).encode()


def test_entries_statuses_and_a_malformed_item_do_not_cost_a_message(house: Deployment) -> None:
    status = {"id": "wamid.9", "status": "delivered", "timestamp": "1772998024", "recipient_id": "4915550001"}
    malformed = {"type": "text", "text": {"body": "nobody sent me"}}
    sent = body(entry(text(1), malformed, statuses=(status,)), entry(text(2)))
    assert post(house, sent).json() == {"accepted": 2, "duplicates": 0, "ignored": 1, "rejected": 1}
    assert post(house, sent).json() == {"accepted": 0, "duplicates": 2, "ignored": 1, "rejected": 1}
    house.start_worker()
    (turn,) = wait_until(lambda: house.partners.asked_about("4915550001"))
    assert [item["text"] for item in turn.body["messages"]] == ["line 1", "line 2"]


def test_statuses_and_unknown_events_are_acknowledged(house: Deployment) -> None:
    unknown = {"id": "1", "changes": [{"field": "something_new", "value": {"a": 1}}]}
    assert post(house, body(unknown)).json()["accepted"] == 0


@pytest.mark.parametrize("signature", [None, "", "sha256=", "sha256=" + "0" * 64, "md5=00"])
def test_a_wrong_or_missing_signature_is_401(house: Deployment, signature: str | None) -> None:
    refused = post(house, body(entry(text(1))), signature)
    assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")


@pytest.mark.parametrize(
    ("garbage", "status"),
    [
        (body(entry(text(1)))[:-20], 400),
        (b'{"object": "\xff\xfe", "entry": []}', 400),
        (b'{"entry":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400),
        (b"[]", 400),
        (b"", 400),
        (b'{"entry": "' + b"x" * 1_048_576 + b'"}', 413),
    ],
    ids=["truncated", "not utf-8", "deeply nested", "no object", "empty", "oversized"],
)
def test_garbage_is_a_problem_document_and_never_a_5xx(house: Deployment, garbage: bytes, status: int) -> None:
    refused = post(house, garbage)
    assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
    assert refused.json()["status"] == status


def test_meta_s_handshake_is_answered(house: Deployment) -> None:
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": VERIFY_TOKEN}
    answer = house.client.get("/webhooks/whatsapp", params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    assert house.client.get("/webhooks/whatsapp", params={**asked, "hub.verify_token": "x"}).status_code == 401

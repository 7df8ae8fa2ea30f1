"""The channels that ship, over HTTP: signed bodies are accepted once, and no garbage is ever a 5xx."""

from __future__ import annotations

import hmac
import json
from pathlib import Path

import pytest

from chatbot.channels import standard_webhooks
from tests.web.conftest import GENERIC_SECRET

# Found when the payloads lie beside the repository; its own fixtures are those of the channels' tests.
PAYLOADS = Path(__file__).parents[3] / "shared" / "payloads" / "whatsapp_cloud"
KEYS = standard_webhooks.read_secrets(GENERIC_SECRET)

GARBAGE = [
    b"", b"null", b"true", b"42", b'""', b"[]", b"{}", b"[[]]", b"{", b"\xff\xfe", b"\x00" * 100, b'"\\ud800"',
    b"[" * 60_000, b'{"a":' * 60_000, b"[" * 200_000, b'{"messages": 1}', b'{"messages": [1, null, {}, []]}',
    b'{"messages": [{"message_id": "\\ud800"}]}', b'{"messages": [{"message_id": 1e999}]}', b"1" * 10_000,
    b'{"messages": [{"message_id": "m", "conversation_id": "c", "timestamp": "9999999-01-01T00:00:00Z"}]}',
    b'{"object": "whatsapp_business_account"}', b'{"entry": null}', b'{"entry": [null, 1, "x", {}]}',
    b'{"entry": [{"changes": [{"value": {"messages": [{"id": 1, "timestamp": "1e9999"}, null, {"id": "a"}]}}]}]}',
    b'{"entry": [{"changes": [{"value": {"messages": [{"id": "a", "from": "1", "timestamp": "' + b"9" * 5_000
    + b'", "type": "text", "text": {"body": "x"}}]}}]}]}',
]  # fmt: skip


def generic(web, content, **headers):
    signed = standard_webhooks.sign(KEYS, "msg_1", content)
    return web.post("/webhooks/generic", content=content, headers={"content-type": "application/json"} | signed)


def whatsapp(web, content):
    signature = f"sha256={hmac.digest(b'app', content, 'sha256').hex()}"
    headers = {"content-type": "application/json", "x-hub-signature-256": signature}
    return web.post("/webhooks/whatsapp", content=content, headers=headers)


SENDERS = pytest.mark.parametrize("send", [generic, whatsapp])


def test_a_signed_generic_body_is_accepted_once(web):
    content = json.dumps(
        {"messages": [{"message_id": f"m{n}", "conversation_id": "c1", "sender_id": "u1", "text": "hi",
                       "timestamp": "2026-01-31T12:00:00Z"} for n in range(3)]}
    ).encode()  # fmt: skip
    assert generic(web, content).json() == {"accepted": 3, "duplicates": 0}
    assert generic(web, content).json() == {"accepted": 0, "duplicates": 3}


def test_a_bad_generic_item_is_400_and_its_neighbour_is_in(web, ledger):
    content = b"""{"messages": [{"message_id": "m1", "conversation_id": "c1", "sender_id": "u1", "text": "hi"},
                                {"message_id": "m2", "sender_id": "u1", "text": "hi"}]}"""
    answer = generic(web, content)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "messages[1].conversation_id"
    assert answer.json()["accepted"] == 1
    assert len(ledger.ids) == 1


def test_an_unsigned_or_changed_body_is_401(web, ledger):
    headers = {"content-type": "application/json", **standard_webhooks.sign(KEYS, "msg_1", b"{}")}
    assert web.post("/webhooks/generic", content=b"{ }", headers=headers).status_code == 401
    for name in ("generic", "whatsapp"):
        answer = web.post(f"/webhooks/{name}", content=b"{}", headers={"content-type": "application/json"})
        assert answer.status_code == 401
    assert ledger.calls == []


def test_the_handshakes_are_each_channels_own(web):
    query = {"hub.mode": "subscribe", "hub.verify_token": "verify", "hub.challenge": "1158201444"}
    assert web.get("/webhooks/whatsapp", params=query).text == "1158201444"
    for token in ("guess", "vérify", ""):
        assert web.get("/webhooks/whatsapp", params=query | {"hub.verify_token": token}).status_code == 401
    assert web.get("/webhooks/generic").status_code == 405


@SENDERS
def test_signed_garbage_is_never_a_5xx(web, send):
    answers = {content[:80]: send(web, content).status_code for content in GARBAGE}
    assert {content: status for content, status in answers.items() if status not in (200, 400)} == {}


@pytest.mark.parametrize("value", ["", "sha256=", "é", "v1,é", "sha256=é" * 500, "1, 2"])
def test_garbage_in_signature_headers_is_401(web, value):
    names = ("webhook-id", "webhook-timestamp", "webhook-signature", "x-hub-signature-256")
    headers = [(name.encode(), value.encode()) for name in names] + [(b"content-type", b"application/json")]
    for channel in ("generic", "whatsapp"):
        assert web.post(f"/webhooks/{channel}", content=b"{}", headers=headers).status_code == 401


@pytest.mark.skipif(not PAYLOADS.is_dir(), reason="no payloads beside the repository")
def test_every_whatsapp_body_is_200(web):
    bodies = [path for path in PAYLOADS.glob("*.json") if not path.name.endswith(".meta.json")]
    assert {path.stem: whatsapp(web, path.read_bytes()).status_code for path in bodies} == {
        path.stem: 200 for path in bodies
    }

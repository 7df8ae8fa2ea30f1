"""Conformance with a collection of real webhook bodies, where it lies beside the repository."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chatbot.channels import create
from chatbot.channels.base import Parsed
from chatbot.model import InboundMessage

FOLDER = Path(__file__).parents[2].parent / "shared" / "payloads" / "whatsapp_cloud"
CASES = sorted(FOLDER.glob("*.meta.json"))
SETTINGS = {"app_secret": "a", "verify_token": "v", "access_token": "t"}
RECEIVED = datetime(2026, 1, 31, 12, tzinfo=UTC)
#: What the collection calls a field -> what it is in an InboundMessage.
FIELDS: dict[str, Any] = {
    "message_id": lambda message: message.message_id,
    "conversation_id": lambda message: message.conversation_id,
    "conversation_kind": lambda message: message.conversation_kind,
    "kind": lambda message: message.kind,
    "text": lambda message: message.text,
    "timestamp": lambda message: message.sent_at and message.sent_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    "sender_id": lambda message: message.sender_id,
    "sender_alt_ids": lambda message: list(message.sender_aliases),
    "account_id": lambda message: message.account_id,
    "delivery_id": lambda message: message.delivery_id,
    "thread_id": lambda message: message.thread_id,
    "target_id": lambda message: message.target_id,
    "payload": lambda message: message.interactive and message.interactive.payload,
    "reply_to_id": lambda message: message.reply_to_id,
    "media_group_id": lambda message: message.media_group_id,
    "filename": lambda message: message.attachments[0].filename if message.attachments else None,
    "trigger": lambda message: message.triggers_turn,
}
UNREAD = {"forwarded"}


def parse(meta_file: Path) -> Parsed:
    body_file = next(
        file
        for file in meta_file.parent.glob(f"{meta_file.name.removesuffix('.meta.json')}.*")
        if file.suffix in {".json", ".txt", ".bin"} and file != meta_file
    )
    _, channel = create("whatsapp", SETTINGS)
    return channel.parse(body_file.read_bytes(), RECEIVED)


def differences(message: InboundMessage, expected: dict[str, Any]) -> list[str]:
    found = []
    for name, value in expected.items():
        if name.endswith("_accept") or name in UNREAD or (name == "trigger" and value is None):
            continue
        if (actual := FIELDS[name](message)) not in [value, *expected.get(f"{name}_accept", [])]:
            found.append(f"{name} is {actual!r} instead of {value!r}")
    return found


def test_the_collection_may_only_be_missing_as_a_whole() -> None:
    assert bool(CASES) == FOLDER.is_dir()


@pytest.mark.parametrize("meta_file", CASES, ids=lambda file: file.name.removesuffix(".meta.json"))
def test_a_real_body_is_read_as_expected(meta_file: Path) -> None:
    meta = json.loads(meta_file.read_text())
    lenient = set(meta.get("lenient") or ())
    messages = list(parse(meta_file).messages)
    assert len({message.dedupe_key for message in messages}) == len(messages)
    if "may_list_untriggered" in lenient:
        messages = [message for message in messages if message.triggers_turn]
    if ("may_ignore" in lenient and not messages) or ("may_list" in lenient and messages):
        return
    assert [message.message_id for message in messages] == [item["message_id"] for item in meta["expected"]]
    for message, item in zip(messages, meta["expected"], strict=True):
        assert differences(message, item) == []

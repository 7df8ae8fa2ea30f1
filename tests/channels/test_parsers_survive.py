"""Whatever arrives, a parser reads it or says that it is Malformed."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chatbot.channels import create
from chatbot.channels.base import Channel, Parsed
from chatbot.errors import Malformed

GENERIC = create("generic", {"secret": "whsec_" + "A" * 32, "outbound_url": "https://example.com"})[1]
WHATSAPP = create("whatsapp", {"app_secret": "a", "verify_token": "v", "access_token": "t"})[1]
RECEIVED = datetime(2026, 1, 31, 12, tzinfo=UTC)
MESSAGES: list[dict[str, Any]] = [
    {"id": "w", "from": "1", "timestamp": "1", "type": "text", "text": {"body": "x"}, "context": {"id": "y"}},
    {"id": "w", "from_user_id": "A.1", "type": "audio", "audio": {"id": "m", "voice": True}},
    {"id": "w", "from": "1", "type": "location", "location": {"latitude": 1.5, "longitude": 2}},
    {"id": "w", "from": "1", "type": "contacts", "contacts": [{"phones": [{"phone": "1"}]}]},
    {"id": "w", "from": "1", "type": "interactive", "interactive": {"nfm_reply": {"body": "x"}}},
    {"id": "w", "from": "1", "type": "order", "order": {"text": "x", "product_items": []}},
    {"id": "w", "from": "1", "type": "reaction", "reaction": {"message_id": "t", "emoji": "x"}},
    {"id": "w", "from": "1", "type": "edit", "edit": {"original_message_id": "t", "message": {"type": "text"}}},
    {"id": "w", "from": "1", "type": "revoke", "revoke": {"original_message_id": "t"}},
]
WHATSAPP_BODY: dict[str, Any] = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "metadata": {"phone_number_id": "1"},
                        "contacts": [{"profile": {"name": "n"}, "wa_id": "1"}],
                        "messages": MESSAGES,
                        "statuses": [{}],
                    },
                }
            ]
        }
    ],
}
GENERIC_BODY: dict[str, Any] = {
    "messages": [
        {"message_id": "m", "conversation_id": "c", "sender_id": "s", "text": "t"},
        {"message_id": "n", "conversation_id": "c", "sender_id": "s", "timestamp": "2026-01-31T12:00:00Z",
         "attachments": [{"url": "u", "mime_type": "a/b"}]},
    ]
}  # fmt: skip
NAMES = st.sampled_from(
    ["messages", "message_id", "text", "object", "entry", "changes", "field", "value", "id", "from"]
)


def json_of(floats: st.SearchStrategy[float]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers() | floats | st.text() | st.just("messages"),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=6),
        max_leaves=20,
    )


JSON = json_of(st.floats())  # with NaN, which Python writes and JSON does not know
STRICT_JSON = json_of(st.floats(allow_nan=False, allow_infinity=False))
CHANNELS = pytest.mark.parametrize("channel", [GENERIC, WHATSAPP], ids=lambda channel: channel.name)
BODIES = {"generic": GENERIC_BODY, "whatsapp": WHATSAPP_BODY}
THOROUGH = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def survive(channel: Channel, body: bytes) -> Parsed | None:
    try:
        parsed = channel.parse(body, RECEIVED)
    except Malformed:
        return None
    for message in parsed.messages:
        assert message.dedupe_key
        assert message.message_id
        assert message.conversation_id
    msgspec.json.encode(parsed)  # what was read can be stored
    return parsed


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(path for name, item in inside for path in paths(item, (*here, name)))]


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    changed = copy.deepcopy(value)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = new
    return changed


@CHANNELS
@THOROUGH
@given(body=st.binary(max_size=200))
def test_any_bytes(channel: Channel, body: bytes) -> None:
    survive(channel, body)


@CHANNELS
@THOROUGH
@given(body=JSON)
def test_any_json(channel: Channel, body: Any) -> None:
    survive(channel, json.dumps(body).encode())


@CHANNELS
@THOROUGH
@given(data=st.data())
def test_a_good_body_with_one_part_replaced(channel: Channel, data: st.DataObject) -> None:
    body = BODIES[channel.name]
    path = data.draw(st.sampled_from(paths(body)))
    survive(channel, json.dumps(replaced(body, path, data.draw(JSON))).encode())


@CHANNELS
@THOROUGH
@given(data=st.data())
def test_a_good_body_with_some_bytes_changed(channel: Channel, data: st.DataObject) -> None:
    body = bytearray(json.dumps(BODIES[channel.name]).encode())
    for place in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=3)):
        body[place] = data.draw(st.integers(0, 255))
    survive(channel, bytes(body))


@CHANNELS
def test_a_good_body_cut_anywhere_is_malformed(channel: Channel) -> None:
    body = json.dumps(BODIES[channel.name]).encode()
    assert all(survive(channel, body[:length]) is None for length in range(len(body)))


@THOROUGH
@given(place=st.integers(0, len(MESSAGES) - 1), bad=STRICT_JSON)
def test_whatever_one_whatsapp_message_is_the_others_are_read(place: int, bad: Any) -> None:
    messages = [message | {"id": f"w{number}"} for number, message in enumerate(MESSAGES)]
    others = {message["id"] for message in messages} - {f"w{place}"}
    messages[place] = bad
    path = ("entry", 0, "changes", 0, "value", "messages")
    parsed = survive(WHATSAPP, json.dumps(replaced(WHATSAPP_BODY, path, messages)).encode())
    assert parsed is not None
    assert others <= {message.message_id for message in parsed.messages}

"""The generic channel: what it reads and what it sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from chatbot.actors.keys import by_target
from chatbot.channels import create
from chatbot.channels.base import Channel, Parsed
from chatbot.channels.generic_messages import MOST_ID_CHARS, MOST_MESSAGES, MOST_TEXT_CHARS
from chatbot.channels.standard_webhooks import read_secrets, sign, verify
from chatbot.errors import Ambiguous, Malformed, NotSupported, Permanent, SignatureInvalid, Transient
from chatbot.model import Attachment, Reply
from tests.responders.server import Service, serve

SECRET = "whsec_" + "A" * 32
RECEIVED = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
REPLY = Reply(
    reply_id="turn-1:0", turn_id="turn-1", channel="generic", conversation_id="c1", position=0, text="hello 👋",
    attachments=(Attachment(url="https://example.com/a.jpg", mime_type="image/jpeg"),),
)  # fmt: skip


@pytest.fixture
def service() -> Iterator[Service]:
    with serve(Service(body=b"")) as running:
        yield running


@pytest.fixture
def patience() -> str:
    """s in which an answer is to come."""
    return "30"


@pytest.fixture
def channel(service: Service, patience: str) -> Iterator[Channel]:
    _, made = create("generic", {"secret": SECRET, "outbound_url": service.url, "timeout_s": patience})
    yield made
    made.close()


def item(**changed: Any) -> dict[str, Any]:
    plain = {"message_id": "m1", "conversation_id": "c1", "sender_id": "u1", "text": "hi"}
    return {name: value for name, value in (plain | changed).items() if value is not ...}


def parse(body: Any) -> Parsed:
    _, made = create("generic", {"secret": SECRET, "outbound_url": "https://example.com"})
    return made.parse(body if isinstance(body, bytes) else json.dumps(body).encode(), RECEIVED)


def rejected_field(**changed: Any) -> str:
    parsed = parse({"messages": [item(message_id="before"), item(**changed), item(message_id="after")]})
    assert [message.message_id for message in parsed.messages] == ["before", "after"]
    (rejected,) = parsed.rejected
    assert rejected.reason
    return rejected.field


def test_a_message_is_read_whole() -> None:
    file = {"url": "https://example.com/a.jpg", "mime_type": "image/jpeg", "filename": "a.jpg"}
    (message,) = parse({"messages": [item(timestamp="2026-01-31T09:00:00-03:00", attachments=[file])]}).messages
    assert (message.channel, message.conversation_id, message.message_id) == ("generic", "c1", "m1")
    assert (message.sender_id, message.text, message.kind) == ("u1", "hi", "image")
    assert message.attachments == (Attachment(kind="image", **file),)
    assert (message.sent_at, message.received_at) == (datetime(2026, 1, 31, 12, tzinfo=UTC), RECEIVED)
    assert message.sent_at is not None
    assert message.sent_at.tzinfo is UTC
    assert message.triggers_turn


def test_a_message_alone_is_as_good_as_a_list_of_one() -> None:
    assert parse(item()) == parse({"messages": [item()]})


def test_messages_keep_their_order_and_a_repeat_is_read_once() -> None:
    parsed = parse({"messages": [item(message_id="b"), item(message_id="a"), item(message_id="b")]})
    assert [message.message_id for message in parsed.messages] == ["b", "a"]


def test_one_id_in_two_conversations_is_two_messages() -> None:
    parsed = parse(
        {"messages": [item(conversation_id="a:b", message_id="c"), item(conversation_id="a", message_id="b:c")]}
    )
    assert len({message.dedupe_key for message in parsed.messages}) == 2


def test_an_edit_and_a_deletion_name_their_message_and_are_told_apart_from_it() -> None:
    edit, deletion, original = parse(
        {"messages": [item(text="new", edits="m1"), item(text=..., deletes="m1"), item()]}
    ).messages
    assert (edit.kind, edit.target_id, edit.text, edit.triggers_turn) == ("edit", "m1", "new", False)
    assert (deletion.kind, deletion.target_id, deletion.text, deletion.triggers_turn) == ("delete", "m1", None, False)
    assert (original.kind, original.target_id, original.triggers_turn) == ("text", None, True)
    assert by_target(edit) == by_target(deletion) == original.dedupe_key
    assert by_target(original) is None
    assert len({edit.dedupe_key, deletion.dedupe_key, original.dedupe_key}) == 3


@pytest.mark.parametrize(
    ("fields", "where"),
    [({"edits": ""}, "edits"), ({"deletes": "a\nb"}, "deletes"), ({"edits": 7}, "edits"),
     ({"edits": "m1", "deletes": "m1"}, "deletes"), ({"edits": "m1", "text": ...}, "text")],
)  # fmt: skip
def test_a_bad_edit_rejects_itself_alone(fields: dict[str, Any], where: str) -> None:
    assert rejected_field(**fields) == f"messages[1].{where}"


def test_a_time_is_optional_and_without_an_offset_it_is_utc() -> None:
    assert parse(item()).messages[0].sent_at is None
    assert parse(item(timestamp="2026-01-31T12:00:00")).messages[0].sent_at == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_attachments_may_stand_alone_and_unknown_fields_are_left_alone() -> None:
    (message,) = parse(item(text=..., attachments=[{"url": "https://x/y", "more": 1}], colour="red")).messages
    assert (message.kind, message.text) == ("document", None)


@pytest.mark.parametrize("name", ["message_id", "conversation_id", "sender_id"])
@pytest.mark.parametrize("value", [..., "", "  ", None, 7, [], "a\nb", "a\x00", "\x85", "x" * (MOST_ID_CHARS + 1)])
def test_a_bad_id_rejects_its_message_alone(name: str, value: Any) -> None:
    assert rejected_field(**{name: value}) == f"messages[1].{name}"


@pytest.mark.parametrize("value", [..., None, "", 5, {}, "x" * (MOST_TEXT_CHARS + 1)])
def test_a_bad_text_rejects_its_message_alone(value: Any) -> None:
    assert rejected_field(text=value) == "messages[1].text"


@pytest.mark.parametrize("value", ["yesterday", 1_700_000_000, "2026-13-01T00:00:00Z", "0001-01-01T00:00:00+10:00"])
def test_a_bad_time_rejects_its_message_alone(value: Any) -> None:
    assert rejected_field(timestamp=value) == "messages[1].timestamp"


@pytest.mark.parametrize(
    ("value", "where"),
    [("a.jpg", ""), ([1], "[0]"), ([{}], "[0].url"), ([{"url": ""}], "[0].url"), ([{"url": "u"}] * 21, "")],
)
def test_a_bad_attachment_rejects_its_message_alone(value: Any, where: str) -> None:
    assert rejected_field(attachments=value) == f"messages[1].attachments{where}"


@pytest.mark.parametrize("value", [None, 5, "text", []])
def test_an_item_that_is_no_object_rejects_itself_alone(value: Any) -> None:
    parsed = parse({"messages": [value, item()]})
    assert ([rejected.field for rejected in parsed.rejected], len(parsed.messages)) == (["messages[0]"], 1)


def test_a_message_alone_names_its_bad_field() -> None:
    parsed = parse(item(text=5))
    assert [rejected.field for rejected in parsed.rejected] == ["text"]
    assert parse(item(message_id=...)).rejected[0].field == "message_id"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b'{"messages": [{"message_id": "m1"', None),
        (b"\xff\xfe", None),
        (b'{"messages": [{"other": "\xff"}]}', None),
        (b"[]", None),
        (b"null", None),
        (b"7", None),
        (b"[" * 100_000, None),
        (b'{"a":' * 100_000, None),
        (b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", None),
        (b'{"text": "\\ud800"}', None),
        (b"{}", "messages"),
        (b'{"other": 1}', "messages"),
        (b'{"messages": null}', "messages"),
        (b'{"messages": {}}', "messages"),
        (b'{"messages": []}', "messages"),
        (json.dumps({"messages": [item()] * (MOST_MESSAGES + 1)}).encode(), "messages"),
    ],
)
def test_a_body_of_no_use_is_malformed(body: bytes, field: str | None) -> None:
    with pytest.raises(Malformed) as caught:
        parse(body)
    assert caught.value.field == field
    assert len(str(caught.value)) < 200


def test_only_signed_bodies_are_verified(channel: Channel) -> None:
    headers = sign(read_secrets(SECRET), "msg_1", b"{}")
    channel.verify(headers, b"{}")
    with pytest.raises(SignatureInvalid):
        channel.verify(headers, b"{ }")
    with pytest.raises(SignatureInvalid):
        channel.verify({}, b"{}")


def test_there_is_no_handshake(channel: Channel) -> None:
    with pytest.raises(NotSupported):
        channel.handshake({})


def test_a_reply_is_posted_signed_with_its_id(channel: Channel, service: Service) -> None:
    channel.send(REPLY)
    ((_, headers, body),) = service.asked
    verify(read_secrets(SECRET), headers, body)
    assert (headers["webhook-id"], headers["content-type"]) == ("turn-1:0", "application/json")
    assert json.loads(body) == {
        "reply_id": "turn-1:0",
        "turn_id": "turn-1",
        "conversation_id": "c1",
        "position": 0,
        "text": "hello 👋",
        "attachments": [{"url": "https://example.com/a.jpg", "mime_type": "image/jpeg"}],
    }


@pytest.mark.parametrize(("status", "error"), [(429, Transient), (503, Transient), (410, Permanent), (302, Permanent)])
def test_a_refused_reply_says_whether_to_repeat_it(
    channel: Channel, service: Service, status: int, error: type[Exception]
) -> None:
    service.status, service.headers = status, {"retry-after": "3"}
    with pytest.raises(error):
        channel.send(REPLY)


@pytest.mark.parametrize("patience", ["0.5"])
def test_a_reply_without_answer_is_ambiguous(channel: Channel, service: Service) -> None:
    service.open_gate.clear()
    with pytest.raises(Ambiguous):
        channel.send(REPLY)


def test_a_reply_whose_id_cannot_be_signed_is_permanent(channel: Channel, service: Service) -> None:
    with pytest.raises(Permanent, match="webhook-id"):
        channel.send(Reply(reply_id="a.b", turn_id="t", channel="generic", conversation_id="c", position=0))
    assert not service.asked

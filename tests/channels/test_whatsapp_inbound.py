"""What is read from WhatsApp's webhooks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chatbot.channels import create
from chatbot.channels.base import Parsed
from chatbot.errors import Malformed
from chatbot.model import Attachment, Interactive

SETTINGS = {"app_secret": "app-secret", "verify_token": "verify-token", "access_token": "TOKEN-1"}
RECEIVED = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
ACCOUNT, ANA = "100200300", "5511900000001"


def message(**changed: Any) -> dict[str, Any]:
    plain = {"id": "wamid.1", "from": ANA, "timestamp": "1769860800", "type": "text", "text": {"body": "oi"}}
    return {name: value for name, value in (plain | changed).items() if value is not ...}


def value(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"metadata": {"phone_number_id": ACCOUNT}, "messages": list(messages)} | more


def change(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"field": "messages", "value": value(*messages, **more)}


def webhook(*changes: Any) -> dict[str, Any]:
    return {"object": "whatsapp_business_account", "entry": [{"id": "0", "changes": list(changes)}]}


def parse(body: Any, **settings: str) -> Parsed:
    _, made = create("whatsapp", SETTINGS | settings)
    return made.parse(body if isinstance(body, bytes) else json.dumps(body).encode(), RECEIVED)


def only(**changed: Any) -> Any:
    parsed = parse(webhook(change(message(**changed))))
    assert not parsed.rejected
    (found,) = parsed.messages
    return found


def test_a_text_is_read_whole() -> None:
    contacts = [{"profile": {"name": "Ana"}, "wa_id": ANA, "user_id": "BR.1"}]
    body = webhook(change(message(context={"id": "wamid.0"}), contacts=contacts))
    (found,) = parse(body).messages
    assert (found.kind, found.text, found.triggers_turn) == ("text", "oi", True)
    assert (found.account_id, found.conversation_id, found.conversation_kind) == (ACCOUNT, ANA, "dm")
    assert (found.sender_id, found.sender_name, found.sender_aliases) == (ANA, "Ana", ("BR.1",))
    assert (found.message_id, found.reply_to_id) == ("wamid.1", "wamid.0")
    assert (found.sent_at, found.received_at) == (datetime(2026, 1, 31, 12, tzinfo=UTC), RECEIVED)


def test_entries_changes_and_messages_keep_their_order() -> None:
    body = webhook(change(message(id="a"), message(id="b")), change(message(id="c")))
    body["entry"].append({"changes": [change(message(id="d"))]})
    assert [found.message_id for found in parse(body).messages] == ["a", "b", "c", "d"]


def test_a_repeat_in_one_body_is_read_once() -> None:
    assert len(parse(webhook(change(message(), message()), change(message()))).messages) == 1


def test_a_person_with_a_user_name_needs_no_number() -> None:
    found = only(**{"from": ..., "from_user_id": "CO.1"})
    assert (found.sender_id, found.conversation_id, found.sender_aliases) == ("CO.1", "CO.1", ())


def test_a_number_wins_over_the_user_id_which_becomes_an_alias() -> None:
    found = only(from_user_id="BR.1")
    assert (found.conversation_id, found.sender_aliases) == (ANA, ("BR.1",))


def test_a_group_is_the_conversation_of_its_members() -> None:
    found = only(group_id="G1")
    assert (found.conversation_id, found.sender_id, found.conversation_kind) == ("G1", ANA, "group")


@pytest.mark.parametrize("kind", ["image", "audio", "video", "document", "sticker"])
def test_a_file_is_an_attachment_and_its_caption_the_text(kind: str) -> None:
    file = {"id": "m1", "mime_type": "x/y", "sha256": "s", "caption": "look", "filename": "f"}
    found = only(type=kind, text=..., **{kind: file})
    assert (found.kind, found.text) == (kind, "look")
    expected = Attachment(kind=kind, provider_media_id="m1", mime_type="x/y", sha256="s", filename="f")
    assert found.attachments == (expected,)


def test_a_recording_is_told_from_an_audio_file() -> None:
    assert only(type="audio", audio={"id": "m1", "voice": True}).kind == "voice"


def test_a_place_has_words_if_it_has_a_name_and_always_coordinates() -> None:
    place = {"latitude": -23.5, "longitude": -46.25}
    bare = only(type="location", location=place)
    named = only(type="location", location=place | {"name": "Sé", "address": "Centro"})
    assert (bare.text, named.text) == (None, "Sé, Centro")
    assert bare.attachments[0].url == named.attachments[0].url == "geo:-23.5,-46.25"


def test_contact_cards_are_attachments() -> None:
    cards = [{"name": {"formatted_name": "Bia"}, "phones": [{"phone": "+55 11"}]}, {"phones": []}]
    found = only(type="contacts", contacts=cards)
    assert [(card.filename, card.url) for card in found.attachments] == [("Bia", "tel:+55 11"), (None, None)]


@pytest.mark.parametrize(
    ("said", "payload"),
    [
        ({"type": "interactive", "interactive": {"button_reply": {"id": "p", "title": "Yes"}}}, "p"),
        ({"type": "interactive", "interactive": {"list_reply": {"id": "p", "title": "Yes"}}}, "p"),
        ({"type": "interactive", "interactive": {"nfm_reply": {"response_json": "{}", "body": "Yes"}}}, "{}"),
        ({"type": "button", "button": {"payload": "p", "text": "Yes"}}, "p"),
    ],
)
def test_a_tap_has_its_title_as_text(said: dict[str, Any], payload: str) -> None:
    found = only(**said)
    assert (found.kind, found.text) == ("interactive", "Yes")
    assert found.interactive == Interactive(payload=payload, title="Yes")
    assert found.triggers_turn


def test_an_order_keeps_its_products() -> None:
    order = {"text": "no onions", "product_items": [{"product_retailer_id": "HAMBURGER", "quantity": 3}]}
    found = only(type="order", order=order)
    assert (found.kind, found.text, json.loads(found.interactive.payload)) == ("order", "no onions", order)


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ({"type": "reaction", "reaction": {"message_id": "t", "emoji": "👍"}}, "reaction", "👍"),
        ({"type": "reaction", "reaction": {"message_id": "t"}}, "reaction", None),
        (
            {
                "type": "edit",
                "edit": {"original_message_id": "t", "message": {"type": "text", "text": {"body": "new"}}},
            },
            "edit",
            "new",
        ),
        ({"type": "edit", "edit": {"original_message_id": "t"}}, "edit", None),
        ({"type": "revoke", "revoke": {"original_message_id": "t"}}, "delete", None),
    ],
)
def test_what_is_done_to_a_message_opens_no_turn(said: dict[str, Any], kind: str, text: str | None) -> None:
    found = only(**said)
    assert (found.kind, found.target_id, found.text, found.triggers_turn) == (kind, "t", text, False)
    assert found.dedupe_key == f"whatsapp:{ACCOUNT}:{ANA}:wamid.1:{kind}:t:1769860800"


@pytest.mark.parametrize("name", ["unsupported", "poll", "", "interactive", "text", "edit", "order"])
def test_what_meta_cannot_pass_on_is_unsupported_and_opens_no_turn(name: str) -> None:
    found = only(type=name, text=...)
    assert (found.kind, found.text, found.triggers_turn) == ("unsupported", None, False)


@pytest.mark.parametrize("time", [..., None, "", "soon", "9" * 30, [], {}, True, 1e300])
def test_a_bad_time_does_not_cost_the_message(time: Any) -> None:
    assert only(timestamp=time).text == "oi"


def test_bad_contacts_and_contexts_do_not_cost_the_message() -> None:
    (found,) = parse(webhook(change(message(context=[1]), contacts={"profile": 1}))).messages
    assert (found.reply_to_id, found.sender_name) == (None, None)


def test_half_an_emoji_does_not_cost_the_message() -> None:
    body = json.dumps(webhook(change(message(text={"body": "BODY"})))).encode()
    found = parse(body.replace(b"BODY", rb"a \ud83d b \ud83d\ude00 \\ud83d \udc00")).messages[0]
    assert found.text == "a \ufffd b \U0001f600 \\ud83d \ufffd"


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (message(id=...), "id"),
        (message(id=7), "id"),
        (message(**{"from": ...}), "from"),
        (message(text=5), "text"),
        (message(text={}), "text.body"),
        (5, ""),
        (None, ""),
    ],
)
def test_a_bad_message_is_rejected_alone(bad: Any, field: str) -> None:
    parsed = parse(webhook(change(message(id="a"), bad, message(id="b"))))
    assert [found.message_id for found in parsed.messages] == ["a", "b"]
    at = "entry[0].changes[0].value.messages[1]"
    assert [rejected.field for rejected in parsed.rejected] == [f"{at}.{field}" if field else at]


@pytest.mark.parametrize(
    "bad",
    [
        5,
        {"field": "messages"},
        {"field": "messages", "value": 5},
        {"field": "messages", "value": {"messages": 5}},
        {"field": "messages", "value": {"messages": [message()]}},
        {"field": "messages", "value": {"metadata": 5, "messages": [message()]}},
    ],
)
def test_a_bad_change_is_rejected_alone(bad: Any) -> None:
    parsed = parse(webhook(bad, change(message(id="a"))))
    assert [found.message_id for found in parsed.messages] == ["a"]
    assert [rejected.field.startswith("entry[0].changes[0]") for rejected in parsed.rejected] == [True]


def test_a_bad_entry_is_rejected_alone() -> None:
    body = webhook(change(message()))
    body["entry"].insert(0, 5)
    parsed = parse(body)
    assert ([rejected.field for rejected in parsed.rejected], len(parsed.messages)) == (["entry[0]"], 1)


@pytest.mark.parametrize(
    "nobody_said",
    [
        change(statuses=[{"id": "s"}]),
        change(errors=[{"code": 131000}]),
        change(message(type="system")),
        change(message(type="system", **{"from": ..., "id": ...})),
        change(message(type="request_welcome")),
        {"field": "smb_message_echoes", "value": value(message_echoes=[message()])},
        {"field": "calls", "value": {"calls": []}},
        {"field": "account_update", "value": {"event": "x"}},
        {"field": "standby", "value": value(message())},
        {"value": value(message())},
    ],
)
def test_what_nobody_said_is_counted_and_left_alone(nobody_said: Any) -> None:
    assert parse(webhook(nobody_said)) == Parsed(ignored=1)


@pytest.mark.parametrize(
    "body", [{}, change(message()), webhook() | {"object": "page"}, {"entry": []}, webhook() | {"entry": None}]
)
def test_a_body_that_is_no_webhook_of_whatsapp_is_left_alone(body: Any) -> None:
    assert parse(body) == Parsed(ignored=1)


def test_messages_to_other_numbers_are_left_alone_if_one_is_configured() -> None:
    body = webhook(change(message()), change(message(id="b"), metadata={"phone_number_id": "999"}))
    assert len(parse(body).messages) == 2
    parsed = parse(body, phone_number_id=ACCOUNT)
    assert ([found.message_id for found in parsed.messages], parsed.ignored) == (["wamid.1"], 1)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b"[]", b"5", b"null"])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        parse(body)

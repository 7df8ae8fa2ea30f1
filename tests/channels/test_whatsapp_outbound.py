"""What is sent to WhatsApp's Cloud API, and what its refusals mean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chatbot.channels import create
from chatbot.channels.base import Channel
from chatbot.errors import Ambiguous, Permanent, Transient
from chatbot.model import Attachment, Reply
from tests.responders.server import Service, serve

SETTINGS = {"app_secret": "app-secret", "verify_token": "verify-token", "access_token": "TOKEN-1"}
ACCOUNT, ANA = "100200300", "5511900000001"


@pytest.fixture
def service() -> Iterator[Service]:
    with serve(Service(body=b'{"messages": [{"id": "wamid.OUT"}]}')) as running:
        yield running


@pytest.fixture
def patience() -> str:
    """s in which an answer is to come."""
    return "30"


@pytest.fixture
def channel(service: Service, patience: str) -> Iterator[Channel]:
    graph_url = service.url.removesuffix("/reply") + "/v23.0/"
    _, made = create("whatsapp", SETTINGS | {"graph_url": graph_url, "timeout_s": patience})
    yield made
    made.close()


def reply(text: str = "hello", conversation_id: str = ANA, **more: Any) -> Reply:
    return Reply(
        reply_id="turn-1:0", turn_id="turn-1", channel="whatsapp", conversation_id=conversation_id, position=0,
        text=text, **({"account_id": ACCOUNT} | more),
    )  # fmt: skip


def sent(service: Service) -> dict[str, Any]:
    ((_, _, body),) = service.asked
    return dict(json.loads(body))


def test_a_text_is_posted_from_the_number_that_was_written_to(channel: Channel, service: Service) -> None:
    channel.send(reply())
    ((path, headers, _),) = service.asked
    assert (path, headers["authorization"]) == (f"/v23.0/{ACCOUNT}/messages", "Bearer TOKEN-1")
    assert sent(service) == {
        "messaging_product": "whatsapp",
        "biz_opaque_callback_data": "turn-1:0",
        "recipient_type": "individual",
        "to": ANA,
        "type": "text",
        "text": {"body": "hello"},
    }


@pytest.mark.parametrize(
    ("conversation_id", "addressed"),
    [
        (ANA, {"recipient_type": "individual", "to": ANA}),
        ("CO.1047385771169864", {"recipient_type": "individual", "recipient": "CO.1047385771169864"}),
        ("US.ENT.118157992128", {"recipient_type": "individual", "recipient": "US.ENT.118157992128"}),
        ("Y2FwaV9ncm91cDox", {"recipient_type": "group", "to": "Y2FwaV9ncm91cDox"}),
    ],
)
def test_numbers_user_ids_and_groups_are_addressed_differently(
    channel: Channel, service: Service, conversation_id: str, addressed: dict[str, str]
) -> None:
    channel.send(reply(conversation_id=conversation_id))
    assert {name: sent(service).get(name) for name in ("recipient_type", *addressed)} == addressed
    assert len({"to", "recipient"} & sent(service).keys()) == 1


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        (Attachment(url="u", mime_type="image/png"), "look", {"image": {"link": "u", "caption": "look"}}),
        (Attachment(provider_media_id="m", kind="voice"), "", {"audio": {"id": "m"}}),
        (Attachment(url="u", filename="a.pdf"), "", {"document": {"link": "u", "filename": "a.pdf"}}),
    ],
)
def test_one_file_goes_with_the_text_as_its_caption(
    channel: Channel, service: Service, file: Attachment, text: str, expected: dict[str, Any]
) -> None:
    channel.send(reply(text, attachments=(file,)))
    kind, media = next(iter(expected.items()))
    assert (sent(service)["type"], sent(service)[kind]) == (kind, media)


@pytest.mark.parametrize(
    ("unsendable", "problem"),
    [
        (reply("x" * 4097), "at most 4096 characters, and this one has 4097"),
        (reply(" "), "empty"),
        (reply(account_id=""), "account_id"),
        (reply(attachments=(Attachment(url="u"), Attachment(url="v"))), "one attachment"),
        (reply(attachments=(Attachment(mime_type="image/png"),)), "neither a url"),
        (reply(attachments=(Attachment(url="u", kind="audio"),)), "no text with audio"),
        (reply("x" * 1025, attachments=(Attachment(url="u"),)), "at most 1024"),
    ],
)
def test_a_reply_that_does_not_fit_one_message_is_permanent_and_not_sent_in_part(
    channel: Channel, service: Service, unsendable: Reply, problem: str
) -> None:
    with pytest.raises(Permanent, match=problem):
        channel.send(unsendable)
    assert not service.asked


def test_a_text_of_the_greatest_length_is_sent_whole(channel: Channel, service: Service) -> None:
    channel.send(reply("x" * 4096))
    assert sent(service)["text"]["body"] == "x" * 4096


def refused(channel: Channel, service: Service, status: int, code: int = 0, **headers: str) -> Exception:
    service.status, service.headers = status, headers
    service.body = json.dumps({"error": {"code": code, "message": "said Meta"}}).encode()
    with pytest.raises((Transient, Permanent)) as caught:
        channel.send(reply())
    assert "TOKEN-1" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("code", [4, 80007, 130429, 131056, 131048, 131000, 131016, 131057])
def test_these_codes_are_transient_with_any_status(channel: Channel, service: Service, code: int) -> None:
    assert isinstance(refused(channel, service, 400, code), Transient)


@pytest.mark.parametrize("code", [131047, 131026, 131049, 131050, 131051, 131062, 130472, 132000, 132015, 190])
def test_these_codes_are_permanent_with_any_status(channel: Channel, service: Service, code: int) -> None:
    for status in (400, 401, 429, 500):
        assert isinstance(refused(channel, service, status, code), Permanent)


@pytest.mark.parametrize(("status", "error"), [(400, Permanent), (404, Permanent), (500, Transient), (429, Transient)])
def test_an_unknown_code_is_as_its_status(
    channel: Channel, service: Service, status: int, error: type[Exception]
) -> None:
    assert isinstance(refused(channel, service, status, 999_999), error)


def test_a_pair_waits_at_least_six_seconds_and_a_spam_limit_long(channel: Channel, service: Service) -> None:
    waits = [
        refused(channel, service, 400, 131056),
        refused(channel, service, 400, 131056, **{"retry-after": "60"}),
        refused(channel, service, 400, 131048),
        refused(channel, service, 429, 130429, **{"retry-after": "5"}),
    ]
    assert [getattr(wait, "retry_after", None) for wait in waits] == [6, 60, 3600, 5]


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"error": 5}', b'{"error": {"code": "4"}}', b"\xff"])
def test_a_refusal_that_is_not_meta_s_is_as_its_status(channel: Channel, service: Service, body: bytes) -> None:
    service.status, service.body = 502, body
    with pytest.raises(Transient):
        channel.send(reply())


def test_what_meta_calls_transient_is(channel: Channel, service: Service) -> None:
    service.status, service.body = 400, b'{"error": {"code": 2, "is_transient": true}}'
    with pytest.raises(Transient):
        channel.send(reply())


@pytest.mark.parametrize("patience", ["0.5"])
def test_a_send_without_answer_is_ambiguous(channel: Channel, service: Service) -> None:
    service.open_gate.clear()
    with pytest.raises(Ambiguous):
        channel.send(reply())

"""The outbox of `chatbot dev`, under a real server: what it takes, and what it shows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import msgspec
import pytest
from starlette.applications import Starlette

from chatbot.channels import Channel, create
from chatbot.channels.standard_webhooks import read_secrets, sign
from chatbot.errors import Permanent
from chatbot.model import Attachment, Reply
from chatbot.web.outbox import GRAPH_PATH, PATH, Outbox
from tests.e2e.partners import SECRET
from tests.web.house import served


@pytest.fixture
def url() -> Iterator[str]:
    with served(Starlette(routes=Outbox(SECRET, access_token="token").routes())) as where:
        yield where


def shown(url: str, **query: Any) -> list[dict[str, Any]]:
    return list(httpx.get(url + PATH, params=query, trust_env=False).raise_for_status().json()["replies"])


def reply(position: int = 0, conversation_id: str = "5511", **parts: Any) -> Reply:
    return Reply(
        reply_id=f"turn_{position}", turn_id="turn", channel="any", conversation_id=conversation_id,
        position=position, text="hello", account_id="42", **parts,
    )  # fmt: skip


def generic(url: str, *replies: Reply) -> None:
    """Send replies through the generic channel."""
    _send(create("generic", {"secret": SECRET, "outbound_url": url + PATH})[1], replies)


def whatsapp(url: str, *replies: Reply, token: str = "token") -> None:
    """Send replies through WhatsApp's channel."""
    options = {"app_secret": "a", "verify_token": "v", "access_token": token, "graph_url": url + GRAPH_PATH}
    _send(create("whatsapp", options)[1], replies)


def _send(channel: Channel, replies: Sequence[Reply]) -> None:
    with contextlib.closing(channel):
        for reply in replies:
            channel.send(reply)


@pytest.mark.parametrize("channel", [generic, whatsapp])
def test_it_shows_what_a_channel_sends(url: str, channel: Any) -> None:
    channel(url, reply(position=3))
    (found,) = shown(url)
    assert found | {"number": 0, "attachments": []} == {
        "channel": channel.__name__, "reply_id": "turn_3", "turn_id": "turn", "conversation_id": "5511",
        "position": 3, "text": "hello", "repeated": False, "number": 0, "attachments": [],
    } | ({"account_id": "42"} if channel is whatsapp else {})  # fmt: skip


@pytest.mark.parametrize("channel", [generic, whatsapp])
def test_a_reply_that_comes_again_is_shown_again(url: str, channel: Any) -> None:
    channel(url, reply(), reply())
    assert [found["repeated"] for found in shown(url)] == [False, True]


def test_one_can_ask_for_a_conversation_and_for_what_is_new(url: str) -> None:
    generic(url, reply(0, "A"), reply(1, "B"), reply(2, "A"))
    first, second, third = shown(url)
    assert shown(url, conversation_id="A") == [first, third]
    assert shown(url, after=second["number"]) == [third]
    assert shown(url, after=third["number"]) == []
    assert httpx.get(f"{url}{PATH}?after=soon", trust_env=False).status_code == 400


def test_the_numbers_of_the_next_process_are_higher(url: str) -> None:
    generic(url, reply())
    with served(Starlette(routes=Outbox(SECRET).routes())) as restarted:
        generic(restarted, reply())
        assert shown(restarted)[0]["number"] > shown(url)[0]["number"]


def test_a_whatsapp_caption_is_its_text(url: str) -> None:
    picture = Attachment(url="https://example.com/a.jpg", mime_type="image/jpeg")
    whatsapp(url, reply(attachments=(picture,)))
    assert shown(url)[0]["text"] == "hello"


def test_a_reply_of_somebody_else_is_refused(url: str) -> None:
    body = msgspec.json.encode({"reply_id": "r", "conversation_id": "c", "text": "t"})
    headers = sign(read_secrets("whsec_" + "QUFB" * 8), "r", body)
    assert httpx.post(url + PATH, content=body, headers=headers, trust_env=False).status_code == 401
    with pytest.raises(Permanent, match="access token"):
        whatsapp(url, reply(), token="another")
    assert shown(url) == []


@pytest.mark.parametrize("content", [b"{}", b"[]", b"no", b'{"messaging_product": "whatsapp", "to": 7}'])
def test_what_meta_would_not_take_is_refused(url: str, content: bytes) -> None:
    headers = {"authorization": "Bearer token"}
    answer = httpx.post(f"{url}{GRAPH_PATH}/42/messages", content=content, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 100)


def test_a_read_receipt_is_taken_and_not_shown(url: str) -> None:
    body = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.1"}
    headers = {"authorization": "Bearer token"}
    assert httpx.post(f"{url}{GRAPH_PATH}/42/messages", json=body, headers=headers, trust_env=False).json() == {
        "success": True
    }
    assert shown(url) == []

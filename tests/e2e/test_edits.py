"""People correct themselves and take back what they said, on every channel that can tell."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.deployment import Deployment, deployed, message, stays, texts
from tests.waiting import wait_until

SENDER = "4915550001"
Post = Callable[..., dict[str, int]]


@pytest.fixture
def house(private_redis: Callable[..., Any]) -> Iterator[Deployment]:
    server = private_redis()
    settings = {
        "CHATBOT_CHANNELS": "generic,whatsapp",
        "CHATBOT_WHATSAPP_APP_SECRET": "an app secret",
        "CHATBOT_WHATSAPP_VERIFY_TOKEN": "a verify token",
        "CHATBOT_WHATSAPP_ACCESS_TOKEN": "an access token",
        "CHATBOT_DEBOUNCE_WAIT_MS": "3500",
    }
    with deployed(server, server, **settings) as deployment:
        deployment.settings["CHATBOT_WHATSAPP_GRAPH_URL"] = deployment.partners.url
        deployment.start_web()
        deployment.start_worker()
        yield deployment


def generic(house: Deployment) -> Post:
    def post(number: int, **change: Any) -> dict[str, int]:
        words = message(SENDER, number) | {"text": change.get("text", f"line {number}")}
        target = {name: f"{SENDER}-{change[name]}" for name in ("edits", "deletes") if name in change}
        return dict(house.post(words | target).json())

    return post


def whatsapp(house: Deployment) -> Post:
    def post(number: int, **change: Any) -> dict[str, int]:
        text = {"type": "text", "text": {"body": change.get("text", f"line {number}")}}
        said = {"from": SENDER, "id": f"wamid.{number}", "timestamp": str(1_772_998_024 + number)}
        if "edits" in change:
            said |= {"type": "edit", "edit": {"original_message_id": f"wamid.{change['edits']}", "message": text}}
        elif "deletes" in change:
            said |= {"type": "revoke", "revoke": {"original_message_id": f"wamid.{change['deletes']}"}}
        else:
            said |= text
        value = {"metadata": {"phone_number_id": "100001"}, "messages": [said]}
        entry = {"id": "1", "changes": [{"field": "messages", "value": value}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        signature = "sha256=" + hmac.new(b"an app secret", body, "sha256").hexdigest()
        headers = {"content-type": "application/json", "x-hub-signature-256": signature}
        return dict(house.client.post("/webhooks/whatsapp", content=body, headers=headers).json())

    return post


def test_what_was_corrected_or_taken_back_in_time_is_never_asked_about(house: Deployment) -> None:
    posts = {"generic": generic(house), "whatsapp": whatsapp(house)}
    one, none = {"accepted": 1, "duplicates": 0}, {"accepted": 0, "duplicates": 0, "ignored": 1}
    for post in posts.values():
        assert [post(1), post(2), post(3)] == [one] * 3
        assert post(4, edits=1, text="line one") == one
        assert post(5, deletes=2) == one
        assert post(2) == {"accepted": 0, "duplicates": 1}
    wait_until(lambda: all(turns(house, channel) for channel in posts))
    assert [[texts(turn) for turn in turns(house, channel)] for channel in posts] == [[["line one", "line 3"]]] * 2

    # Both are too late now: the edit is news, the deletion is not.
    for post in posts.values():
        assert post(6, deletes=1) == none
        assert post(7, edits=3, text="line three") == one
    wait_until(lambda: all(len(turns(house, channel)) == 2 for channel in posts))
    for channel in posts:
        (late,) = turns(house, channel)[1].body["messages"]
        assert (late["kind"], late["text"], late["target_id"][-1]) == ("edit", "line three", "3")
    assert stays(lambda: all(len(turns(house, channel)) == 2 for channel in posts), 1.5)


def turns(house: Deployment, channel: str) -> list[Any]:
    """Return what the responder was asked about a channel; WhatsApp's replies go to the same server."""
    return [seen for seen in list(house.partners.asked) if seen.body.get("channel") == channel]

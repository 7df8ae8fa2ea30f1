"""A service behind a URL is asked with the turn, and each of its answers has one meaning."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatbot.errors import Ambiguous, Permanent, Transient
from chatbot.model import Attachment, Draft, HistoryEntry
from chatbot.responders import create
from tests.responders.server import Service, serve
from tests.responders.turns import NOON, message, turn


@pytest.fixture
def service() -> Iterator[Service]:
    with serve(Service()) as running:
        yield running


def ask(service, request=None, **options):
    responder = create(service.url, options)
    try:
        return responder.respond(request or turn())
    finally:
        responder.close()


def test_the_request_has_the_turn_and_its_id_as_idempotency_key(service):
    history = (HistoryEntry(role="user", text="before", timestamp=NOON),)
    photo = message("m2", text=None, kind="image", attachments=(Attachment(kind="image", url="https://f.example/a"),))
    ask(service, turn(message("m1"), photo, turn_id="t-7", history=history, attempt=3))
    [(path, headers, content)] = service.asked
    body = json.loads(content)
    assert path == "/reply"
    assert (headers["idempotency-key"], headers["content-type"]) == ("t-7", "application/json")
    assert set(body) == {"turn_id", "channel", "conversation_id", "messages", "history"}
    assert (body["turn_id"], body["channel"], body["conversation_id"]) == ("t-7", "generic", "c1")
    assert body["history"] == [{"role": "user", "text": "before", "timestamp": "2026-01-31T12:00:00Z"}]
    assert [(m["message_id"], m["kind"], m["text"]) for m in body["messages"]] == [
        ("m1", "text", "hi"),
        ("m2", "image", None),
    ]
    assert body["messages"][0]["timestamp"] == "2026-01-31T12:00:00Z"
    assert body["messages"][1]["attachments"] == [{"kind": "image", "url": "https://f.example/a"}]


def test_every_attempt_sends_the_same_body(service):
    for attempt in (1, 2):
        ask(service, turn(attempt=attempt))
    assert service.asked[0][2] == service.asked[1][2]


def test_replies_become_drafts_in_order(service):
    service.body = b'{"replies": [{"text": "one"}, {"text": "", "attachments": [{"url": "u"}]}, {"text": "two"}]}'
    assert ask(service) == [Draft(text="one"), Draft(attachments=(Attachment(url="u"),)), Draft(text="two")]


@pytest.mark.parametrize("body", [b'{"replies": []}', b'{"replies": [{"text": ""}], "cost": 3}'])
def test_no_replies_are_silence(service, body):
    service.body = body
    assert ask(service) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_or_broken_service_is_asked_again_when_it_says(service, status):
    service.status, service.headers = status, {"retry-after": "7"}
    with pytest.raises(Transient) as caught:
        ask(service)
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 422])
def test_a_refusal_or_a_redirect_is_permanent_and_not_followed(service, status):
    service.status, service.headers = status, {"location": service.url}
    with pytest.raises(Permanent, match=str(status)):
        ask(service)
    assert len(service.asked) == 1


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "truncated"),
        (b"<html>", "malformed"),
        (b"\xff", "did not answer with"),
        (b"[" * 100_000, "did not answer with"),
        (b"[]", "Expected `object`"),
        (b"{}", "`replies`"),
        (b'{"replies": "hi"}', "$.replies"),
        (b'{"replies": [{"text": "ok"}, {"txt": "hi"}]}', "`text` - at `$.replies[1]`"),
        (b'{"replies": [{"text": null}]}', "$.replies[0].text"),
    ],
)
def test_an_answer_in_another_form_is_permanent_and_names_the_field(service, body, named):
    service.body = body
    with pytest.raises(Permanent) as caught:
        ask(service)
    assert named in str(caught.value)


def test_a_service_that_cannot_be_reached_is_asked_again():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(Transient):
        create(f"http://127.0.0.1:{port}/reply", {}).respond(turn())


def test_a_connection_that_breaks_is_asked_again_because_the_key_makes_it_safe(service):
    service.hang_up = True
    with pytest.raises(Transient) as caught:
        ask(service)
    assert not isinstance(caught.value, Ambiguous)


def test_an_answer_that_takes_too_long_is_asked_again(service):
    service.open_gate.clear()
    with pytest.raises(Transient) as caught:
        ask(service, timeout=0.1)
    assert not isinstance(caught.value, Ambiguous)


def test_connections_are_pooled(service):
    responder = create(service.url, {})
    for _ in range(5):
        responder.respond(turn())
    assert (len(service.asked), len(service.connections)) == (5, 1)
    responder.close()


def test_threads_ask_at_the_same_time(service):
    service.body = b'{"replies": [{"text": "hi"}]}'
    responder = create(service.url, {})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: responder.respond(turn(turn_id=f"t{number}")), range(40)))
    assert answers == [[Draft(text="hi")]] * 40
    assert {headers["idempotency-key"] for _, headers, _ in service.asked} == {f"t{number}" for number in range(40)}
    responder.close()

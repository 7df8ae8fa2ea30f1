"""A model behind OpenAI's chat completions is told the conversation, and each of its answers has one meaning.

The client is OpenAI's own, of the extra `openai`; the API is a real server.
"""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatbot.errors import Ambiguous, ConfigurationError, Permanent, Transient
from chatbot.model import Attachment, Draft, HistoryEntry
from chatbot.responders import create
from chatbot.responders.base import Responder
from tests.responders.server import Service, serve
from tests.responders.turns import NOON, message, turn
from tests.waiting import wait_until

KEY = "sk-a-key-of-the-tests"


def completion(content: object = "hello", finish_reason: str = "stop", **fields: object) -> bytes:
    """Return what the API answers with (its reference: "The chat completion object")."""
    choice = {
        "index": 0,
        "finish_reason": finish_reason,
        "message": {"role": "assistant", "content": content, **fields},
    }
    return json.dumps(
        {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m-1", "choices": [choice]}
    ).encode()


@pytest.fixture(scope="module")
def running() -> Iterator[Service]:
    with serve(Service()) as service:
        yield service


@pytest.fixture(scope="module")
def model(running: Service) -> Iterator[Responder]:
    """A responder for all tests that need no other one: it takes a while to make its client."""
    asked = responder(running)
    yield asked
    asked.close()


@pytest.fixture
def service(running: Service) -> Service:
    """The API, which remembers nothing of the test before."""
    running.status, running.hang_up = 200, False
    running.headers, running.body = {"content-type": "application/json"}, completion()
    running.open_gate.set()
    running.asked.clear()
    return running


def responder(service: Service, **options: object) -> Responder:
    base_url = service.url.removesuffix("/reply") + "/v1"
    return create("openai:m-1", {"api_key": KEY, "base_url": base_url, **options})


def told(service) -> list[tuple[str, str]]:
    [(_, _, content)] = service.asked
    return [(line["role"], line["content"]) for line in json.loads(content)["messages"]]


def test_the_request_has_the_model_the_key_and_the_turn_as_idempotency_key(service, model):
    assert model.respond(turn(turn_id="t-7")) == [Draft(text="hello")]
    [(path, headers, content)] = service.asked
    assert path == "/v1/chat/completions"
    assert (headers["authorization"], headers["idempotency-key"]) == (f"Bearer {KEY}", "t-7")
    assert json.loads(content) == {"model": "m-1", "messages": [{"role": "user", "content": "hi"}]}


def test_the_model_is_told_how_to_be_then_the_history_then_the_burst(service, model):
    history = (
        HistoryEntry(role="user", text="before", timestamp=NOON),
        HistoryEntry(role="assistant", text="yes?", timestamp=NOON),
    )
    asked = responder(service, system_prompt="Be kind.")
    asked.respond(turn(message("m1"), history=history))
    asked.close()
    assert told(service) == [("system", "Be kind."), ("user", "before"), ("assistant", "yes?"), ("user", "hi")]


def test_speakers_alternate_because_many_models_insist(service, model):
    history = (HistoryEntry(role="user", text="unanswered", timestamp=NOON),)
    photo = message("m2", text="look", kind="image", attachments=(Attachment(kind="image", filename="a.jpg"),))
    model.respond(turn(message("m1"), photo, history=history))
    assert told(service) == [("user", "unanswered\nhi\nlook\n[a.jpg]")]


@pytest.mark.parametrize(("content", "replies"), [("", []), (" \n", []), (None, []), ("a\nb", [Draft(text="a\nb")])])
def test_an_answer_is_one_reply_or_silence(service, model, content, replies):
    service.body = completion(content)
    assert model.respond(turn()) == replies


def test_a_refusal_of_the_model_is_what_it_says(service, model):
    service.body = completion(None, refusal="I would rather not.")
    assert model.respond(turn()) == [Draft(text="I would rather not.")]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503])
def test_a_busy_or_broken_api_is_asked_again_by_the_ledger_alone(service, model, status):
    service.status = status
    with pytest.raises(Transient) as caught:
        model.respond(turn())
    assert not isinstance(caught.value, Ambiguous)
    assert len(service.asked) == 1, "the client repeated, too"


def test_a_rate_limit_says_when_to_come_back(service, model):
    service.status, service.headers = 429, {"retry-after": "7"}
    with pytest.raises(Transient) as caught:
        model.respond(turn())
    assert caught.value.retry_after == 7


@pytest.mark.parametrize("status", [302, 307, 400, 401, 403, 404, 422])
def test_a_refusal_or_a_redirect_is_permanent_and_not_followed(service, model, status):
    service.status, service.headers = status, {"location": service.url}
    service.body = json.dumps({"error": {"message": f"no: {KEY}", "code": "x"}}).encode()
    with pytest.raises(Permanent, match=str(status)) as caught:
        model.respond(turn())
    assert len(service.asked) == 1
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b""),
        ("application/json", b"<html>"),
        ("application/json", b"[]"),
        ("application/json", b"{}"),
        ("application/json", b'{"choices": []}'),
        ("application/json", b'{"choices": [{}]}'),
        ("application/json", b'{"choices": ["x"]}'),
        ("application/json", completion(["a", "list"])),
        ("text/html", b"<html>"),
    ],
)
def test_an_answer_in_another_form_is_permanent(service, model, kind, body):
    service.headers, service.body = {"content-type": kind}, body
    with pytest.raises(Permanent, match="did not answer with a chat completion"):
        model.respond(turn())


@pytest.mark.parametrize("reason", ["content_filter", "length", "tool_calls"])
def test_an_answer_that_ended_before_its_first_word_is_no_silence(service, model, reason):
    service.body = completion(None, reason)
    with pytest.raises(Permanent, match=reason):
        model.respond(turn())


def test_an_api_that_cannot_be_reached_is_asked_again():
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    asked = create("openai:m-1", {"base_url": f"http://127.0.0.1:{port}/v1"})
    with pytest.raises(Transient, match=str(port)):
        asked.respond(turn())
    asked.close()


def test_an_answer_that_takes_too_long_is_asked_again(service):
    service.open_gate.clear()
    asked = responder(service, timeout=1.0)
    with pytest.raises(Transient) as caught:
        asked.respond(turn())
    assert not isinstance(caught.value, Ambiguous)
    asked.close()
    wait_until(lambda: service.asked)  # the test after this one is not to be asked that


def test_a_connection_that_breaks_is_asked_again(service, model):
    service.hang_up = True
    with pytest.raises(Transient):
        model.respond(turn())


def test_threads_ask_at_the_same_time_through_one_pool(service):
    service.connections.clear()
    asked = responder(service)
    service.open_gate.clear()
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(asked.respond, turn(turn_id=f"t{number}")) for number in range(4)]
        wait_until(lambda: len(service.asked) == 4, message="they waited for each other")
        service.open_gate.set()
        assert [answer.result() for answer in answers] == [[Draft(text="hello")]] * 4
    asked.respond(turn())
    assert len(service.connections) == 4
    asked.close()
    with pytest.raises(Transient, match="closed"):
        asked.respond(turn())


@pytest.mark.parametrize(
    ("spec", "options", "cure"),
    [
        ("openai", {"api_key": KEY}, "openai:MODEL"),
        ("openai:", {"api_key": KEY}, "openai:MODEL"),
        ("openai:m-1", {}, "CHATBOT_OPENAI_API_KEY is missing"),
    ],
)
def test_what_is_missing_is_said_at_start(spec, options, cure):
    with pytest.raises(ConfigurationError, match=cure):
        create(spec, options)


def test_without_its_extra_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'chatbot\[openai\]'"):
        create("openai:m-1", {"api_key": KEY})

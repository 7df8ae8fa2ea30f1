"""Each answer of a webhook: what is in the ledger, what was wrong with the request, and what to send again."""

from __future__ import annotations

import asyncio
import logging
import socket
from http import HTTPStatus

import httpx
import msgspec
import pytest

from chatbot.web.app import create_app
from chatbot.web.webhooks import INLINE_BYTES, MEBIBYTE, Limits
from tests.waiting import wait_until
from tests.web.house import SECRET, TRUSTED, body, served


def post(web, content, channel="plain", headers=TRUSTED):
    return web.post(f"/webhooks/{channel}", content=content, headers=headers)


def is_problem(response, status):
    document = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, document["status"], document["type"]) == (status, status, "about:blank")
    assert document["title"] == HTTPStatus(status).phrase  # 413 has another one since Python 3.13
    return document


def test_messages_are_accepted_once(web, ledger):
    first, again = post(web, body("m1", "m2")), post(web, body("m2", "m3"))
    assert (first.status_code, first.json()) == (200, {"accepted": 2, "duplicates": 0})
    assert (again.status_code, again.json()) == (200, {"accepted": 1, "duplicates": 1})
    assert first.headers["content-type"] == "application/json"
    assert ledger.ids == {"m1", "m2", "m3"}


def test_edits_and_deletions_reach_the_ledger_and_a_late_deletion_is_ignored(web, ledger):
    post(web, body("m1"))
    assert post(web, body("e1", "e2", target="m1", text="new")).json() == {"accepted": 2, "duplicates": 0}
    assert post(web, body("e3", target="gone", text="new")).json() == {"accepted": 1, "duplicates": 0}
    assert post(web, body("d1", target="m1", text="")).json() == {"accepted": 1, "duplicates": 0}
    late = post(web, body("d2", target="gone", text=""))
    assert (late.status_code, late.json()) == (200, {"accepted": 0, "duplicates": 0, "ignored": 1})
    assert ledger.calls == [["m1"], ["e1", "e2"], ["e3"], ["d1"], ["d2"]]


def test_a_message_that_went_straight_to_the_broker_is_accepted_too(web):
    assert post(web, body("m1", conversation="urgent")).json() == {"accepted": 1, "duplicates": 0}


def test_messages_that_trigger_no_turn_are_counted_but_not_admitted(web, ledger):
    answer = post(web, body("m1", quiet=True, receipt=True))
    assert answer.json() == {"accepted": 0, "duplicates": 0, "ignored": 2}
    assert ledger.calls == []


def test_a_body_without_messages_is_fine(web, ledger):
    assert post(web, b'{"messages": []}').json() == {"accepted": 0, "duplicates": 0}
    assert ledger.calls == []


def test_an_unknown_channel_is_404(web):
    assert "'nobody'" in is_problem(post(web, body("m1"), "nobody"), 404)["detail"]
    is_problem(web.get("/webhooks/nobody"), 404)
    is_problem(web.get("/nowhere"), 404)


@pytest.mark.parametrize("content_type", [None, "", "text/plain", "application/jsonp", "application/xml; a=json"])
def test_another_media_type_is_415(web, content_type):
    headers = SECRET | ({} if content_type is None else {"content-type": content_type})
    document = is_problem(post(web, body("m1"), headers=headers), 415)
    assert "application/json" in document["detail"]


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON ;charset=latin-1"])
def test_parameters_and_case_of_the_media_type_do_not_matter(web, content_type):
    assert post(web, body("m1"), headers=SECRET | {"content-type": content_type}).status_code == 200


def test_a_wrong_signature_is_401_and_nothing_is_read(web, ledger):
    headers = {"content-type": "application/json", "x-secret": "guess"}
    assert is_problem(post(web, b"not even JSON", headers=headers), 401)["detail"] == "x-secret is wrong"
    assert ledger.calls == []


def test_a_malformed_body_is_400_and_names_the_field(web):
    assert is_problem(post(web, b"{}"), 400)["field"] == "messages"


def test_a_body_nested_too_deeply_for_its_channel_is_400(web):
    content = b'{"messages": [{"id": "m1", "x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}]}"
    assert "too deeply" in is_problem(post(web, content), 400)["detail"]


def test_a_declared_length_over_the_limit_is_413_before_any_of_it_is_sent(web, ledger):
    head = f"POST /webhooks/plain HTTP/1.1\r\nhost: x\r\ncontent-length: {MEBIBYTE + 1}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in TRUSTED.items())
    with socket.create_connection((web.base_url.host, web.base_url.port), timeout=10) as caller:
        caller.sendall(f"{head}\r\n".encode())
        assert caller.recv(65_536).startswith(b"HTTP/1.1 413 ")
    is_problem(post(web, b" " * (MEBIBYTE + 1)), 413)
    assert ledger.calls == []


def test_a_body_that_turns_out_too_long_is_413(web):
    is_problem(post(web, (b" " * 65_536 for _ in range(17))), 413)


def test_a_body_of_exactly_the_limit_is_taken_and_read_in_a_thread(web, plain):
    content = body("m1").ljust(MEBIBYTE)
    assert post(web, content).json()["accepted"] == 1
    assert post(web, (content[start : start + 9_999] for start in range(0, MEBIBYTE, 9_999))).status_code == 200
    threads = set(plain.threads)
    plain.threads.clear()
    post(web, body("m1").ljust(INLINE_BYTES))
    assert len(plain.threads) == 1
    assert threads.isdisjoint(plain.threads)


def test_a_message_that_its_conversation_could_never_hold_is_413_and_not_503_for_ever(plain, ledger):
    limits = Limits(message=10_000)
    app = create_app(channels={"plain": plain}, admit=ledger.admit, ready=ledger.look, limits=limits)
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as web:
        is_problem(post(web, body("m1", text="x" * 10_000)), 413)
        assert ledger.calls == []
        assert post(web, body("m1", "m2", "m3", text="x" * 9_000)).json()["accepted"] == 3


def test_an_overflow_is_503_while_its_neighbours_stay_accepted(web, ledger):
    content = b'{"messages": [{"id": "m1"}, {"id": "m2", "conversation": "flooded"}, {"id": "m3"}]}'
    answer = post(web, content)
    document = is_problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert (document["accepted"], document["duplicates"]) == (2, 0)
    assert ledger.ids == {"m1", "m3"}


def test_a_sender_that_can_mend_gets_400_and_the_good_items_are_in(web, ledger):
    document = is_problem(post(web, b'{"messages": [{"text": "?"}, {"id": "m1"}, {"id": "m2"}, {}]}'), 400)
    assert [error["field"] for error in document["errors"]] == ["messages[0].id", "messages[3].id"]
    assert document["errors"][0]["reason"] == "is missing"
    assert (document["accepted"], document["duplicates"], document["rejected"]) == (2, 0, 2)
    assert ledger.ids == {"m1", "m2"}


def test_a_provider_that_would_only_repeat_gets_200_and_the_log_tells(web, ledger, caplog):
    with caplog.at_level(logging.WARNING, logger="chatbot.web"):
        answer = post(web, b'{"messages": [{"id": "m1"}, {"text": "my PIN is 1234"}]}', "stubborn")
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1, "duplicates": 0, "rejected": 1})
    assert "messages[1].id: is missing" in caplog.text
    assert "1234" not in caplog.text


def test_store_down_is_503_and_the_resend_after_its_return_is_accepted(web, ledger, caplog):
    ledger.state = {"store": "down"}
    answer = post(web, body("m1"))
    document = is_problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert "password" not in answer.text
    assert "ledger" in document["detail"]
    ledger.state = {"store": "ok"}
    assert post(web, body("m1")).json() == {"accepted": 1, "duplicates": 0}


def test_a_handshake_is_answered_as_plain_text(web):
    answer = web.get("/webhooks/plain", params={"challenge": "<42>", "token": "s3cret"})
    assert (answer.status_code, answer.text) == (200, "<42>")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_handshake_with_a_wrong_token_is_401(web):
    is_problem(web.get("/webhooks/plain", params={"challenge": "42", "token": "guess"}), 401)


def test_no_handshake_and_other_methods_are_405(web):
    answer = web.get("/webhooks/plain")
    is_problem(answer, 405)
    assert answer.headers["allow"] == "POST"
    answer = web.put("/webhooks/plain", content=body("m1"), headers=TRUSTED)
    is_problem(answer, 405)
    assert {method.strip() for method in answer.headers["allow"].split(",")} >= {"GET", "POST"}


def test_a_bug_is_500_that_tells_nothing_of_the_inside(web, caplog):
    document = is_problem(post(web, b'{"messages": [{"id": "m1", "bug": 1}]}'), 500)
    assert "secret" not in msgspec.json.encode(document).decode()
    wait_until(lambda: "ZeroDivisionError" in caplog.text)  # for the operator it is in the log, after the answer
    assert post(web, body("m1")).status_code == 200


def test_a_caller_that_hangs_up_in_its_body_is_no_error_of_ours(app, ledger):
    scope = {"type": "http", "method": "POST", "path": "/webhooks/plain", "query_string": b"", "http_version": "1.1",
             "headers": [(name.encode(), value.encode()) for name, value in TRUSTED.items()]}  # fmt: skip
    received = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(received)

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))  # an error would be raised here, and leave a traceback in uvicorn's log
    assert sent[0]["status"] == 400
    assert ledger.calls == []

"""Every request has an id: one that it brings, if it is well-formed, else one that is made; the answer tells it."""

from __future__ import annotations

import logging
import subprocess
import sys

import httpx
import pytest

from chatbot.web.correlation import correlation_id
from tests.web.house import TRUSTED, Ledger, body

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def found(**headers: str) -> str:
    return correlation_id([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def test_the_trace_id_comes_first_and_then_the_request_id() -> None:
    assert found(x_request_id="their-request-1", traceparent=PARENT) == TRACE
    assert found(traceparent=PARENT, x_request_id="their-request-1") == TRACE
    assert found(x_request_id="their-request-1") == "their-request-1"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"traceparent": PARENT.upper()},
        {"traceparent": "ff" + PARENT[2:]},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": PARENT + "\n"},
        {"x_request_id": "short"},
        {"x_request_id": "x" * 65},
        {"x_request_id": 'two words", "level": "critical'},
        {"x_request_id": "line\nbreak"},
    ],
)
def test_what_is_not_well_formed_is_replaced(headers: dict[str, str]) -> None:
    first, second = found(**headers), found(**headers)
    assert first != second
    assert len(first) == len(second) == 16


def test_a_process_that_was_forked_makes_ids_of_its_own() -> None:
    program = """
import os
from chatbot.web.correlation import correlation_id
read, write = os.pipe()
if not os.fork():
    os.write(write, correlation_id([]).encode())
    os._exit(0)
print(correlation_id([]), os.read(read, 16).decode())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    ours, theirs = done.stdout.split()
    assert len(ours) == len(theirs) == 16
    assert ours != theirs


def test_the_answer_tells_it_whatever_the_answer_is(web: httpx.Client) -> None:
    headers = {"x-request-id": "their-request-1"}
    answers = [
        web.post("/webhooks/plain", content=body("1"), headers=TRUSTED | headers),
        web.post("/webhooks/plain", content=b"{", headers=TRUSTED | headers),
        web.post("/webhooks/plain", content=body("1"), headers=headers | {"content-type": "application/json"}),
        web.post("/webhooks/nobody", headers=headers),
        web.post("/webhooks/plain", content=body("2", bug=True), headers=TRUSTED | headers),
    ]
    assert [answer.status_code for answer in answers] == [200, 400, 401, 404, 500]
    assert {answer.headers["x-request-id"] for answer in answers} == {"their-request-1"}


def test_requests_side_by_side_have_ids_of_their_own(web: httpx.Client) -> None:
    made = {
        web.post("/webhooks/plain", content=body(str(n)), headers=TRUSTED).headers["x-request-id"] for n in range(9)
    }
    assert len(made) == 9


def test_a_line_about_a_batch_that_was_not_admitted_names_its_requests(
    web: httpx.Client, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.state["store"] = "down"
    answer = web.post("/webhooks/plain", content=body("1"), headers=TRUSTED | {"x-request-id": "their-request-1"})
    assert answer.status_code == 503
    (line,) = (record for record in caplog.records if "was not admitted" in record.getMessage())
    assert line.levelno == logging.WARNING
    assert line.__dict__["joined"] == ["their-request-1"]

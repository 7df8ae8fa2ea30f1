"""The responders that the page shows answer as it says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from chatbot import responders
from chatbot.errors import Permanent, Transient
from chatbot.model import InboundMessage, TurnRequest
from chatbot.processes.tether import tethered
from tests.docs.markdown import write
from tests.servers import free_port
from tests.waiting import wait_until


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    names = write("responders.md", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in names:
        sys.modules.pop(name.removesuffix(".py"), None)


def turn(*texts: str) -> TurnRequest:
    messages = tuple(
        InboundMessage(channel="generic", conversation_id="c1", message_id=text, dedupe_key=text, text=text)
        for text in texts
    )
    return TurnRequest(turn_id="t1", channel="generic", conversation_id="c1", messages=messages)


def said(spec: str, *texts: str) -> list[str]:
    responder = responders.create(spec)
    try:
        return [draft.text for draft in responder.respond(turn(*texts))]
    finally:
        responder.close()


def test_a_plain_function_answers_or_is_silent(project: Path) -> None:
    assert said("my_bot:reply", "hi", "there") == ["You said 2 things, first: hi"]
    assert said("my_bot:reply", "hush") == []


def test_an_async_function_answers_with_files_and_says_how_it_failed(project: Path) -> None:
    assert said("shop_bot:reply", "the", "menu please") == ["Here it is.", "Anything else?"]
    assert said("shop_bot:reply", "hi") == ["c1, you have written 0 lines before."]
    with pytest.raises(Transient) as busy:
        said("shop_bot:reply", "busy?")
    assert busy.value.retry_after == 5
    with pytest.raises(Permanent):
        said("shop_bot:reply", "a teapot")


def test_a_service_answers_over_http_and_knows_a_repetition(project: Path) -> None:
    port = free_port()
    service = subprocess.Popen(tethered([sys.executable, "answers.py", str(port)]), stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), 20)
        assert said(f"http://127.0.0.1:{port}", "a", "b") == ["2 messages, thank you"]
        assert said(f"http://127.0.0.1:{port}", "a", "b", "c") == ["2 messages, thank you"]  # the same turn id
    finally:
        service.kill()
        service.wait()


def _listens(port: int) -> bool:
    with suppress(httpx.TransportError):
        return bool(httpx.get(f"http://127.0.0.1:{port}").status_code)
    return False

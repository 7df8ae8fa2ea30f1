"""One line an event, with what it is about, and without what it must not hold."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from dramatiq.message import Message

from chatbot import logs
from chatbot.errors import StoreUnavailable
from chatbot.model import InboundMessage, TurnRequest
from chatbot.processes.merged_log import MergedLog
from chatbot.responders.http import Http
from tests.responders.server import Service, serve

TEXT, SECRET = "my cat is called Mitzi", "planted-secret"
logger = logging.getLogger("tests.logs")


# --- one line ---
class Written:
    """What is written to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys, self._text = capsys, ""

    def getvalue(self) -> str:
        self._text += self._capsys.readouterr().err
        return self._text


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Written]:
    """What is logged; afterwards, logging is as before."""
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    root.handlers = []  # those of pytest would be closed
    yield Written(capsys)
    root.handlers, (sys.excepthook, threading.excepthook) = handlers, hooks
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(out: Written | io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_line_says_when_how_bad_who_and_what(written: Written) -> None:
    logs.configure("info")
    structlog.contextvars.bind_contextvars(correlation_id="c1")
    logger.info("kept %d of %s", 3, "them", extra={"items": 3})
    logger.debug("not this")
    (line,) = lines(written)
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["event"]) == ("info", "tests.logs", "kept 3 of them")
    assert (line["items"], line["correlation_id"]) == (3, "c1")


def test_an_event_is_one_line_whatever_is_in_it(written: Written) -> None:
    logs.configure("info")
    logger.info("two\nlines \x00 \udc80 %s", "ünïcode")
    assert [line["event"] for line in lines(written)] == ["two\nlines \x00 \udc80 ünïcode"]


def test_structlog_of_the_user_goes_the_same_way(written: Written) -> None:
    logs.configure("info", secrets=[SECRET])
    structlog.get_logger("mine").info("asked", password=SECRET, answer=42)
    (line,) = lines(written)
    assert (line["event"], line["password"], line["answer"], line["logger"]) == ("asked", "***", 42, "mine")


def test_people_get_words_and_machines_json(written: Written) -> None:
    assert logs.form_of("auto") == "json"  # this is no terminal
    logs.configure("info", "pretty")
    logger.info("hello", extra={"items": 3})
    assert "hello" in written.getvalue()
    assert "items=3" in written.getvalue()
    with pytest.raises(json.JSONDecodeError):
        lines(written)


def fail_with_words() -> None:
    try:
        raise KeyError(TEXT)
    except KeyError as exc:
        raise ValueError(f"what is {TEXT}?") from exc


def log_what_fails() -> None:
    try:
        fail_with_words()
    except ValueError as exc:
        logger.exception("it failed: %r", exc)


def test_the_words_of_an_error_are_not_told_but_its_type_and_place(written: Written) -> None:
    logs.configure("info")
    log_what_fails()
    (line,) = lines(written)
    assert TEXT not in written.getvalue()
    assert line["event"] == "it failed: ValueError"
    assert line["exception"].index("builtins.KeyError") < line["exception"].index("builtins.ValueError")
    assert "in fail_with_words" in line["exception"]


def test_they_are_told_where_messages_may_be(written: Written) -> None:
    logs.configure("info", messages=True)
    log_what_fails()
    assert f"builtins.ValueError: what is {TEXT}?" in lines(written)[0]["exception"]


def test_the_words_of_an_error_about_servers_are_always_told(written: Written) -> None:
    logs.configure("info")
    logger.warning("could not renew: %s", StoreUnavailable("no route to host"))
    assert lines(written)[0]["event"] == "could not renew: no route to host"


def test_a_dramatiq_message_is_told_by_its_id(written: Written) -> None:
    logs.configure("debug")
    sent: Message[Any] = Message(queue_name="q", actor_name="charge", args=(TEXT,), kwargs={}, options={})
    logger.error("Failed to process message %s with unhandled exception.", sent)
    logger.debug("Received args=%r kwargs=%r.", (TEXT,), {"text": TEXT})
    assert TEXT not in written.getvalue()
    assert lines(written)[0]["event"] == f"Failed to process message charge {sent.message_id} with unhandled exception."


def test_a_thread_that_crashes_is_a_line(written: Written) -> None:
    logs.configure("info")
    thread = threading.Thread(target=fail_with_words, name="poor")
    thread.start()
    thread.join()
    (line,) = lines(written)
    assert (line["level"], line["event"]) == ("critical", "the thread poor has ended by an error")


def test_secrets_are_found_by_the_names_of_settings_and_in_urls() -> None:
    found = logs.secrets_of(
        {
            "CHATBOT_GENERIC_SECRET": "whsec_first,whsec_second",
            "CHATBOT_WHATSAPP_ACCESS_TOKEN": "token",
            "CHATBOT_BROKER_URL": "amqp://a:p%40ss@one;amqp://a:other@two",
            "CHATBOT_RESPONDER": "http://u:inside@host/",
            "CHATBOT_OPENAI_API_KEY": "abc",
            "CHATBOT_ADMIN_PASSWORD": "correct horse",
            "CHATBOT_NAMESPACE": "visible",
        }
    )
    assert found >= {"first", "second", "whsec_first", "token", "p%40ss", "p@ss", "other", "inside", "correct horse"}
    assert not found & {"visible", "abc", "horse"}


# --- the log of several processes ---
def merged(*chunks: bytes) -> list[dict[str, Any]]:
    out = io.StringIO()
    log = MergedLog(["web", "worker-1"], out, {}, "json")
    for chunk in chunks:
        log.feed("worker-1", chunk)
    log.end("worker-1")
    return lines(out)


def test_machines_read_whose_line_it_is_in_a_field() -> None:
    assert merged(b'{"event": "x", "lev', b'el": "error"}\n') == [{"event": "x", "level": "error", "role": "worker-1"}]


def test_what_is_no_json_becomes_an_event() -> None:
    plain, number = merged(b"Segmentation fault\n42\n")
    assert (plain["event"], plain["level"], plain["role"]) == ("Segmentation fault", "info", "worker-1")
    assert number["event"] == "42"


# --- contracts ---
def test_nobody_but_us_gets_the_correlation_id() -> None:
    """The bodies of responders are a contract; those of receivers are looked at in tests/e2e/test_logs.py."""
    asked = InboundMessage(
        channel="generic", conversation_id="c", message_id="m", dedupe_key="m", correlation_id="its-correlation"
    )
    with serve(Service()) as service:
        responder = Http(service.url)
        responder.respond(TurnRequest(turn_id="t", channel="generic", conversation_id="c", messages=(asked,)))
        responder.close()
    ((_, _, body),) = service.asked
    assert b'"message_id":"m"' in body
    assert b"correlation" not in body

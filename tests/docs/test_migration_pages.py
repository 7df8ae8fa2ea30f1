"""The responder that asks the old system's keys answers what that system has not."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import redis

from chatbot.model import InboundMessage, TurnRequest
from tests.docs.markdown import write
from tests.servers import RedisServer


def turn(*ids: str) -> TurnRequest:
    messages = tuple(
        InboundMessage(channel="generic", conversation_id="c", message_id=name, dedupe_key=name) for name in ids
    )
    return TurnRequest(turn_id="t", channel="generic", conversation_id="c", messages=messages)


def test_what_the_old_system_answered_is_not_answered_again(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert write("migrating-from-celery.md", tmp_path) == ["once_more.py"]
    monkeypatch.setenv("OLD_REDIS_URL", redis_server.url)
    monkeypatch.syspath_prepend(tmp_path)
    redis_server.flush()
    with redis.Redis.from_url(redis_server.url) as old:
        old.set("idempotency:message:m1", "done", ex=60)
    bot = importlib.import_module("once_more")
    try:
        assert bot.reply(turn("m1", "m2")) == "1 messages"
        assert bot.reply(turn("m1")) is None
    finally:
        bot.OLD.close()

"""The responder that asks the old system's keys answers what that system has not; the task after the change does what
the one before it was to do."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from chatbot.model import InboundMessage, TurnRequest
from tests.docs.markdown import write
from tests.servers import RedisServer

#: Every message twice, in a burst of one chat and in another chat; then work, until nothing waits in a window. One
#: thread, since `print` of two threads may mix two lines.
PLAY = """
import dramatiq
for _ in range(2):
    for number, chat in enumerate(("A", "A", "B")):
        answer.send({"id": f"m{number}", "chat": chat, "text": f"line {number}"})
    report.send("monday")
worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
worker.start()
store = next(each.store for each in broker.middleware if hasattr(each, "store"))
while any(partition.open for partition in store.survey()):
    time.sleep(0.02)
broker.join("low")
worker.stop()
"""


def turn(*ids: str) -> TurnRequest:
    messages = tuple(
        InboundMessage(channel="generic", conversation_id="c", message_id=name, dedupe_key=name) for name in ids
    )
    return TurnRequest(turn_id="t", channel="generic", conversation_id="c", messages=messages)


def test_what_the_old_system_answered_is_not_answered_again(
    redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "once_more.py" in write("migrating-from-celery.md", tmp_path)
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


def test_the_task_after_the_change_answers_each_burst_once(redis_server: RedisServer, tmp_path: Path) -> None:
    write("migrating-from-celery.md", tmp_path)
    program = (tmp_path / "after.py").read_text().replace("wait=2_000", "wait=300")
    (tmp_path / "after.py").write_text(program + PLAY)
    redis_server.flush()
    urls = {"STORE_URL": redis_server.url, "BROKER_URL": redis_server.url}
    argv = [sys.executable, str(tmp_path / "after.py")]
    done = subprocess.run(argv, env={**os.environ, **urls}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["delivered A line 0 line 1", "delivered B line 2", "reported monday"]
    with redis.Redis.from_url(redis_server.url) as keys:
        assert list(keys.scan_iter("bot-model@*")), "the calls were not counted against the limit"


def test_the_task_before_it_is_python(tmp_path: Path) -> None:
    """Celery is not among the packages of the tests."""
    write("migrating-from-celery.md", tmp_path)
    compile((tmp_path / "before.py").read_text(), "before.py", "exec")

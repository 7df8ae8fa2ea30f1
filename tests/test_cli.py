"""What a newcomer runs into: one line with the cure and status 2, never a traceback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.cli import COMMANDS
from tests.e2e.partners import SECRET
from tests.servers import RedisServer, free_port

NOWHERE = "redis://127.0.0.1:1/0"


def chatbot(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    return subprocess.run(
        [sys.executable, "-m", "chatbot", *arguments],
        env={**environment, **settings},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )


def good(store: RedisServer) -> dict[str, str]:
    return {
        "CHATBOT_STORE_URL": store.url,
        "CHATBOT_BROKER_URL": store.url,
        "CHATBOT_GENERIC_SECRET": SECRET,
        "CHATBOT_GENERIC_OUTBOUND_URL": "http://127.0.0.1:9/replies",
        "CHATBOT_ADMIN_PASSWORD": "a password of the tests",
    }


def assert_refused(result: subprocess.CompletedProcess[str], *phrases: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    assert all(phrase in result.stderr for phrase in phrases), result.stderr


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_every_command_has_help_with_an_example(command: str, tmp_path: Path) -> None:
    result = chatbot(command, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "Example:" in result.stdout


def test_everything_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    result = chatbot("web", cwd=tmp_path)
    assert_refused(result, "CHATBOT_BROKER_URL is missing", "CHATBOT_STORE_URL is missing")
    result = chatbot("web", cwd=tmp_path, CHATBOT_BROKER_URL=NOWHERE, CHATBOT_STORE_URL=NOWHERE)
    assert_refused(result, "CHATBOT_GENERIC_SECRET is missing", "CHATBOT_GENERIC_OUTBOUND_URL is missing")


@pytest.mark.parametrize(
    ("variable", "value", "cure"),
    [
        ("CHATBOT_BROKER_URL", "kafka://127.0.0.1", "for example redis://127.0.0.1:6379/0 or amqp://"),
        ("CHATBOT_STORE_URL", "postgres://127.0.0.1", "for example redis://127.0.0.1:6379/0"),
        ("CHATBOT_RESPONDER", "no_such_module:reply", "there is no module 'no_such_module'"),
        ("CHATBOT_RESPONDER", "json:reply", "has no attribute 'reply'"),
        ("CHATBOT_CHANNELS", "carrier-pigeon", "known are generic, whatsapp"),
        ("CHATBOT_GENERIC_SECRET", "hunter2", "whsec_"),
        ("CHATBOT_STORE_URL", NOWHERE, "no store answers at redis://127.0.0.1:1/0: start it"),
        ("CHATBOT_BROKER_URL", NOWHERE, "no broker answers at redis://127.0.0.1:1/0: start it"),
        ("CHATBOT_BROKER_URL", "amqp://guest:hunter2@127.0.0.1:1", "no broker answers at amqp://guest:***@127.0.0.1:1"),
    ],
)
def test_a_bad_value_is_one_line_with_the_cure(
    variable: str, value: str, cure: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    result = chatbot("worker", cwd=tmp_path, **{**good(redis_server), variable: value})
    assert_refused(result, cure)
    assert len(result.stderr.splitlines()) == 1


def test_a_store_that_may_evict_is_refused(private_redis, tmp_path: Path) -> None:
    store = private_redis(None, "--maxmemory-policy", "allkeys-lru")
    assert_refused(chatbot("web", cwd=tmp_path, **good(store)), "maxmemory-policy noeviction")


def test_a_port_in_use_is_said(redis_server: RedisServer, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_refused(chatbot("web", "--port", str(port), cwd=tmp_path, **good(redis_server)), "is in use")


def test_an_unknown_queue_is_said(redis_server: RedisServer, tmp_path: Path) -> None:
    result = chatbot("worker", "--queues", "hihg", cwd=tmp_path, **good(redis_server))
    assert_refused(result, "no queue hihg", "default, high")


def test_simulate_says_when_nothing_listens(tmp_path: Path) -> None:
    result = chatbot("simulate", "--url", f"http://127.0.0.1:{free_port()}", cwd=tmp_path)
    assert_refused(result, "start `chatbot dev` first")


def test_a_password_is_not_shown(tmp_path: Path, redis_server: RedisServer) -> None:
    settings = good(redis_server) | {"CHATBOT_STORE_URL": "redis://user:hunter2@127.0.0.1:1/0"}
    result = chatbot("worker", cwd=tmp_path, **settings)
    assert_refused(result, "***@127.0.0.1:1")
    assert "hunter2" not in result.stderr


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    result = chatbot("--debug", "web", cwd=tmp_path)
    assert "Traceback" in result.stderr


def test_a_bot_in_the_directory_of_the_call_is_found(tmp_path: Path) -> None:
    (tmp_path / "my_bot.py").write_text("print('the bot is loaded')\ndef reply(request): return 'hello'\n")
    settings = {"CHATBOT_STORE_URL": NOWHERE, "CHATBOT_BROKER_URL": NOWHERE, "CHATBOT_RESPONDER": "my_bot:reply"}
    result = subprocess.run(
        [Path(sys.executable).with_name("chatbot"), "doctor"],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings,
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "the bot is loaded" in result.stdout, result

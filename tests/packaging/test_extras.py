"""Without its extras the package works, and says which of them brings what is asked for."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner

from chatbot import brokers
from chatbot.cli import main
from chatbot.errors import ConfigurationError
from tests.packaging.building import PROJECT, ROOT, package

#: What only extras bring.
ABSENT = ("pika", "openai", "celery", "celery_once", "taskiq", "taskiq_redis", "opentelemetry")
#: What needs an extra, by the beginnings of its modules' names.
OF_EXTRAS = (
    "chatbot.tracing.",
    "chatbot.bench.",
    "chatbot.brokers.rabbitmq",
    "chatbot.dashboard.rabbitmq",
    "chatbot.operations.doctor.look_rabbitmq",
)
WITHOUT = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n"


def without_extras(program: str) -> None:
    """Run a program where no extra is installed: an import of one raises ModuleNotFoundError."""
    done = subprocess.run([sys.executable, "-c", WITHOUT + program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_other_module_can_be_imported() -> None:
    paths = sorted(path for path in package() if path.endswith(".py") and not path.endswith("__main__.py"))
    names = [path.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for path in paths]
    needed = [name for name in names if not name.startswith(OF_EXTRAS)]
    assert len(needed) > 150
    without_extras(f"import importlib\nfor name in {needed!r}: importlib.import_module(name)")


def test_a_service_on_redis_has_all_its_pages() -> None:
    without_extras("""
import socket
from chatbot import pages
from chatbot.dashboard.pages import look_at
from chatbot.service import build
url = "redis://127.0.0.1:1/0"
service = build({
    "CHATBOT_STORE_URL": url, "CHATBOT_BROKER_URL": url, "CHATBOT_ADMIN_PASSWORD": "a password of the tests",
    "CHATBOT_GENERIC_SECRET": "whsec_" + "c2VjcmV0" * 5, "CHATBOT_GENERIC_OUTBOUND_URL": "http://127.0.0.1:9/",
})
with socket.create_server(("127.0.0.1", 0)) as sock:
    assert pages.routes(service, sock, dev=False)
assert type(look_at(service.settings, service.store, service.broker)).__name__ == "RedisLook"
service.close()
""")


@pytest.mark.parametrize("scheme", ["amqp", "amqps"])
def test_rabbitmq_asks_for_its_extra(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pika", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'chatbot\[rabbitmq\]'"):
        brokers.create(f"{scheme}://guest:guest@127.0.0.1:1", [])


@pytest.mark.parametrize("arguments", [["bench", "accept", "--quick"], ["bench", "chaos"]])
def test_benchmarks_ask_for_theirs(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pika", None)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "pip install 'chatbot[bench]'" in result.stderr


@pytest.mark.parametrize("extra", ["rabbitmq", "openai", "otel"])
def test_a_deployment_of_the_lock_may_choose_it_by_a_variable(extra: str) -> None:
    """`make lock` locks these extras, too; `bench` is for a machine on which things are measured."""
    needed = {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in PROJECT["optional-dependencies"][extra]}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements" / "run.txt").read_text(), re.MULTILINE))
    assert needed <= locked

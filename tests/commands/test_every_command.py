"""What holds for every command: `--json` where it prints data, and a `--help` that costs little."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click

from chatbot.cli import main

#: They run until they are told to stop, or print something that is not data.
NO_DATA = {"dev", "web", "worker", "scheduler", "completion", "health", "bench pages"}
HEAVY = {
    "dramatiq", "redis", "pika", "starlette", "uvicorn", "pydantic", "httpx", "structlog", "jinja2", "msgspec",
    "openai", "opentelemetry",
}  # fmt: skip


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_every_command_that_prints_data_prints_json() -> None:
    lacking = [
        " ".join(path)
        for path, command in commands(main)
        if not isinstance(command, click.Group) and " ".join(path) not in NO_DATA
        if all("--json" not in option.opts for option in command.params)
    ]
    assert lacking == []


def test_help_loads_nothing_heavy() -> None:
    paths = [list(path) for path, _ in commands(main)]
    program = f"""
import sys
from chatbot.cli import main
for path in {[[], *paths]!r}:
    try:
        main([*path, "--help"])
    except SystemExit as exc:
        assert exc.code == 0, path
    found = {HEAVY!r} & set(sys.modules)
    assert not found, (path, found)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, stdout=subprocess.DEVNULL)

"""Running `chatbot simulate` as people do: by its command line, with its exit status and what it prints."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from chatbot.cli import main
from tests.e2e.partners import SECRET

#: The service's quiet time in these tests, in ms: long enough for a busy machine to play a burst in it.
WAIT_MS = 1_500
#: 3 conversations of 4 messages, quickly.
QUICKLY = ("--messages", "4", "--rate", "150", "--timeout", "15", "--pause", "1.6")


@dataclass(frozen=True)
class Ran:
    """How it ended."""

    status: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    @property
    def kinds(self) -> set[str]:
        """The kinds of faults that it found."""
        return {fault["kind"] for fault in self.report["faults"]}


def ours(**settings: str) -> dict[str, str]:
    return {"CHATBOT_DEBOUNCE_WAIT_MS": str(WAIT_MS), "CHATBOT_GENERIC_SECRET": SECRET, **settings}


def start(url: str, *arguments: str, cwd: Path, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start it as a process of its own."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "chatbot", "simulate", "--url", url, *QUICKLY, *arguments],
        env={**clean, **ours()},
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def simulate(url: str, *arguments: str, quickly: Sequence[str] = QUICKLY, **settings: str) -> Ran:
    """Run it to its end, in an empty folder. Settings are CHATBOT_* variables; the secret is that of our services."""
    runner = CliRunner()
    clean = {name: None for name in os.environ if name.startswith("CHATBOT_")}
    with tempfile.TemporaryDirectory() as empty, contextlib.chdir(empty):
        done = runner.invoke(main, ["simulate", "--url", url, *quickly, *arguments], env={**clean, **ours(**settings)})
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Ran(done.exit_code, done.stdout, done.stderr)

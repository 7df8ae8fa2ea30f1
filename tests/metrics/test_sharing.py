"""Processes under one supervisor tell the sum of all, also of those that died."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from chatbot.metrics.directory import shared_directory
from chatbot.metrics.meters import shared

PROGRAM = """
import os, sys
from prometheus_client import generate_latest
from chatbot.metrics.meters import Meters
meters = Meters()
meters.count("chatbot_retries_total", "a", by=int(sys.argv[1]))
meters.observe("chatbot_responder_seconds", 0.5)
print(generate_latest(meters.registry()).decode())
sys.stdout.flush()
os.kill(os.getpid(), 9)
"""


def told(directory: Path, slot: str, by: int) -> list[str]:
    """Count in a process that is killed; return the lines that it exposes."""
    environment = os.environ | shared(str(directory), slot)
    argv = [sys.executable, "-c", PROGRAM, str(by)]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30).stdout.splitlines()


def test_the_numbers_of_all_are_summed_and_a_successor_goes_on(tmp_path: Path) -> None:
    assert 'chatbot_retries_total{actor="a"} 1.0' in told(tmp_path, "worker-1", 1)
    assert 'chatbot_retries_total{actor="a"} 11.0' in told(tmp_path, "worker-2", 10)
    files = sorted(tmp_path.iterdir())
    again = told(tmp_path, "worker-1", 100)
    assert 'chatbot_retries_total{actor="a"} 111.0' in again
    assert "chatbot_responder_seconds_count 3.0" in again
    assert sorted(tmp_path.iterdir()) == files, "a restart takes no more room"


KILLED = """
import os
from chatbot.metrics.directory import shared_directory
with shared_directory() as directory:
    print(directory, flush=True)
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_supervisor_left_is_removed_by_the_next_and_what_is_in_use_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    argv, environment = [sys.executable, "-c", KILLED], os.environ | {"TMPDIR": str(tmp_path)}
    with shared_directory() as mine:
        left = Path(subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=30).stdout.strip())
        assert left.parent == tmp_path
        assert left.exists()
        with shared_directory() as other:
            assert {path.name for path in tmp_path.iterdir()} == {Path(mine).name, Path(other).name}
    assert not list(tmp_path.iterdir())

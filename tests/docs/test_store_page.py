"""docs/writing-a-store.md is true: its store passes the suite, and keeps what it promises of a file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import DOCS, ROOT, files, write

PAGE = "writing-a-store.md"
WALK = "tests/conformance/test_stores_walk.py"

OFFER = """
import os, signal, sys
from chatbot.stores.values import Offer, Window
from sqlite_store import SqliteStore
store, window = SqliteStore(sys.argv[1]), Window(wait=0, max_wait=0, max_items=100)
for n in range(20):
    item = f"{sys.argv[2]}{n}"
    store.offer([Offer(key="turn/a", item_id=item, body=item.encode(), window=window)])
os.kill(os.getpid(), signal.SIGKILL)
"""
RUN = """
import sys
from sqlite_store import SqliteStore
store = SqliteStore(sys.argv[1])
(check,) = store.take_due(10, 5_000, 30_000).checks
print(*(entry.body.decode() for entry in store.begin(check, "w", 5_000).entries))
"""
WANDER = """
import random
from sqlite_ledger import SqliteLedger
from tests.conformance.stores_walk import Walk
ledger = SqliteLedger()
walk = Walk(ledger, seed := random.SystemRandom().randrange(1 << 32))
print("seed", seed)
for n in range(10_000):
    walk.draining = n >= 2_000
    if walk.draining and walk.drained():
        break
    ledger.advance(walk.random.choice([0, 0, 0, 1, 1, 3]))
    walk.step()
assert walk.drained(), walk.expected
assert walk.answers["ok: settled"] > 20, walk.answers
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write(PAGE, tmp_path)
    return tmp_path


def run(argv: list[str], here: Path) -> str:
    # A file in memory, where there is one: this is about answers, not about the disk.
    directory = "/dev/shm" if Path("/dev/shm").is_dir() else str(here)
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{ROOT}", "TMPDIR": directory}
    done = subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_store_has_60_lines_at_most() -> None:
    assert len(files(PAGE)["sqlite_store.py"].splitlines()) <= 60


@pytest.mark.long
def test_the_suite_passes_on_it(here: Path) -> None:
    (command,) = re.findall(r"^python (-m pytest .*sqlite)$", (DOCS / PAGE).read_text(), re.MULTILINE)
    out = run([sys.executable, *command.split(), "-p", "no:cacheprovider", f"--deselect={WALK}"], here)
    passed = re.search(r"(\d+) passed", out)
    assert passed
    assert int(passed[1]) > 150


@pytest.mark.long
def test_it_survives_a_random_walk(here: Path) -> None:
    """The suite's own walk wants to have been everywhere within 20 s, which a transaction per verb is too slow for."""
    run([sys.executable, "-c", WANDER], here)


def test_what_killed_processes_offered_to_one_file_is_there(here: Path) -> None:
    argv, ledger = [sys.executable, "-c"], str(here / "ledger.db")
    offering = [subprocess.Popen([*argv, OFFER, ledger, name], cwd=here) for name in "xyz"]
    assert [process.wait(60) for process in offering] == [-signal.SIGKILL] * 3
    shown = subprocess.run([*argv, RUN, ledger], cwd=here, capture_output=True, text=True, check=True, timeout=60)
    items = shown.stdout.split()
    assert [[item for item in items if item[0] == name] for name in "xyz"] == [
        [f"{name}{n}" for n in range(20)] for name in "xyz"
    ]


def test_the_pages_commands_name_what_is_there() -> None:
    page = (DOCS / PAGE).read_text()
    paths = re.findall(r"`((?:chatbot|tests)/[\w/.]+)`", page)
    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []

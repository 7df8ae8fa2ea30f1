"""docs/library.md is true: its code is one program, and its actors do what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.markdown import DOCS, python_blocks
from tests.servers import RedisServer

SHOWN = ["charged o1 receipt for 500", "indexed ['Emma', 'Persuasion'] attempt 1", "reported monday"]

WORK = """
import time
worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)  # two would print into one line
worker.start()
# What is enqueued last is worked off last, once nothing waits in a window any more.
while any(partition.open for partition in store.survey()):
    time.sleep(0.02)
broker.join("default")
worker.stop()
"""


def test_its_actors_work(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.flush()
    program = re.sub(r"redis://127\.0\.0\.1:6379/\d", redis_server.url, "\n".join(python_blocks("library.md")))
    path = tmp_path / "shop.py"
    path.write_text(program + WORK)
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == SHOWN


@pytest.mark.parametrize("page", sorted(page.name for page in DOCS.glob("*.md")))
def test_links_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", (DOCS / page).read_text())
    assert [link for link in links if not (DOCS / link).exists()] == []

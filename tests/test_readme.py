"""The README is true: its table is the settings, and its code runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from chatbot.settings import table
from tests.servers import RedisServer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MARKS = "<!-- settings -->\n", "<!-- /settings -->"

#: Every call twice or in a burst; then work, until nothing waits in a window. One thread, since `print` of two threads
#: may mix two lines.
WORK = """
import time, dramatiq
charge.send({"id": 7}); charge.send({"id": 7})
for number in range(3): index.send({"id": number, "shelf": "a"})
report.send("monday"); report.send("monday")
worker = dramatiq.Worker(broker, worker_threads=1, worker_timeout=50)
worker.start()
store = next(each.store for each in broker.middleware if hasattr(each, "store"))
while any(partition.open for partition in store.survey()):
    time.sleep(0.02)
broker.join("default")
worker.stop()
broker.close()
"""


def test_the_configuration_table_is_the_settings() -> None:
    """To renew it: python -m tests.test_readme"""
    assert table() in README


def test_the_guarded_actors_work(redis_server: RedisServer, tmp_path: Path) -> None:
    redis_server.flush()
    (code,) = (block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "open_store(" in block)
    assert len(code.strip().splitlines()) <= 15
    program = re.sub(r"redis://127\.0\.0\.1:6379/\d", redis_server.url, code).replace("wait=2_000", "wait=200") + WORK
    path = tmp_path / "own_project.py"
    path.write_text(program)
    shown = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=60, check=True).stdout
    indexed = [{"id": number, "shelf": "a"} for number in range(3)]
    assert sorted(shown.splitlines()) == ["charge {'id': 7}", f"index {indexed}", "report monday"]


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)", README)
    assert links
    assert all((ROOT / link).exists() for link in links), links


def test_no_more_than_25_lines_before_running_code() -> None:
    assert "make run" in "\n".join(README.splitlines()[:25])


if __name__ == "__main__":
    before, rest = README.split(MARKS[0])
    (ROOT / "README.md").write_text(before + MARKS[0] + table() + "\n" + MARKS[1] + rest.split(MARKS[1])[1])

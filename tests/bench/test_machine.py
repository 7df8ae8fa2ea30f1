"""What a process costs is counted with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from chatbot.bench.machine import cpu, cpu_of_family
from chatbot.bench.waiting import wait_until

BUSY = "import time\nwhile time.process_time() < 0.3: pass\ntime.sleep(60)"


@pytest.fixture
def shell() -> Iterator[int]:
    """The process of a shell whose child works."""
    command = ["sh", "-c", '"$0" -c "$1" & wait', sys.executable, BUSY]
    process = subprocess.Popen(command, start_new_session=True)
    yield process.pid
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_the_work_of_a_child_counts(shell: int) -> None:
    """RabbitMQ's first process is a shell, which does nothing itself."""
    wait_until(lambda: cpu_of_family(shell) >= 0.2, 30, "the child's work is not counted")
    assert cpu(shell) < 0.2

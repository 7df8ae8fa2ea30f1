"""A supervisor in a process of its own, and a look at the processes below it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.waiting import wait_until

PREAMBLE = """
import os, sys, time
from pathlib import Path
from chatbot.processes import lifeline
from chatbot.processes.child import Role
from chatbot.processes.supervisor import Supervisor
lifeline.watch()
def python(name, code, **options):
    code = "import os, signal, sys, time; print('pid', os.getpid());" + code
    return Role(name=name, argv=[sys.executable, "-c", code], **options)
FOREVER = "time.sleep(600)"
"""


class Running:
    """A Python program, and the log that it writes."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def text(self) -> str:
        return self.log.read_text()

    def says(self, pattern: str, times: int = 1) -> list[str]:
        """Wait until the log has the pattern that often; return what its group matched."""

        def found() -> list[str]:
            matches = re.findall(pattern, self.text(), re.MULTILINE)
            return matches if len(matches) >= times else []

        with contextlib.suppress(AssertionError):
            return wait_until(found, 30)
        raise AssertionError(f"{pattern!r} is not {times} times in:\n{self.text()}")

    def pids(self, role: str, times: int = 1) -> list[int]:
        """Wait until a role has been started that often; return its pids."""
        return [int(pid) for pid in self.says(rf"\b{role} *\| pid (\d+)$", times)]

    def ends(self, within: float = 30.0) -> int:
        """Wait for its end; return its exit status."""
        return self.process.wait(within)


Run = Callable[[str], Running]


def alive(pid: int) -> bool:
    """Say whether a process runs; one that nobody has reaped does not."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    if sys.platform == "linux":
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def gone(*pids: int) -> bool:
    """Say whether none of the processes runs."""
    return not any(map(alive, pids))


def command(pid: int) -> str:
    """Return the command line of a process; empty if there is none."""
    if sys.platform == "linux":  # where ps may be missing
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ").strip()
        return ""
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()


def children(pid: int) -> list[int]:
    """Return the pids of the processes that a process has started."""
    return [child for child, parent in _family() if parent == pid]


def _family() -> Iterator[tuple[int, int]]:
    if sys.platform != "linux":
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
        yield from ((int(pid), int(parent)) for pid, parent in map(str.split, listed.splitlines()))
        return
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield int(stat.parent.name), int(stat.read_text().rpartition(")")[2].split()[1])


@contextlib.contextmanager
def program(source: str, log: Path) -> Iterator[Running]:
    """Run a Python program, and kill it in the end if it is still there."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", PREAMBLE + source], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield Running(process, log)
    finally:
        process.kill()
        process.wait()

"""The machine and the versions that a figure belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("chatbot", "dramatiq", "redis", "hiredis", "pika", "starlette", "uvicorn", "uvloop", "httptools", "msgspec")
PEERS = ("celery", "celery-once", "taskiq", "taskiq-redis")


def machine() -> dict[str, str]:
    """Describe where we run. Figures of a machine that is busy with something else tell by their load."""
    described = {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
    return described | {name: found for name in (*PACKAGES, *PEERS) if (found := _version(name))}


def program_version(*argv: str) -> str:
    """Return the first line that a program says about its version."""
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.partition("\n")[0].strip()


def rss(pid: int) -> int:
    """Return the memory that a process has in use, in bytes."""
    status = Path(f"/proc/{pid}/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return int(shown) * 1024


def cpu(pid: int) -> float:
    """Return the processor time that a process has used, all its threads, in s."""
    status = Path(f"/proc/{pid}/stat")
    if status.exists():
        fields = status.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    return sum(float(part) * 60.0**place for place, part in enumerate(reversed(shown.strip().split(":"))))


def cpu_of_family(pid: int) -> float:
    """Return the processor time of a process and all below it, in s: RabbitMQ's first process is a shell."""
    parents, family, used = _parents(), {pid}, 0.0
    while below := {child for child, parent in parents.items() if parent in family} - family:
        family |= below
    for one in family:
        with suppress(OSError, subprocess.SubprocessError):  # it has ended since
            used += cpu(one)
    return used


def _parents() -> dict[int, int]:
    parents = dict[int, int]()
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
    if parents:
        return parents
    shown = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    return {int(pid): int(parent) for pid, parent in (line.split() for line in shown.splitlines())}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""

"""Tying a foreign process to ours, so that it cannot outlive a kill -9.

`tethered(argv)` puts a small Python program in front of a command. It runs this file by its path, without the package
and without site-packages, asks the kernel to end the process with its parent, and becomes the command: same pid, same
signals. Nothing is done between fork and exec, which Python forbids in a process with threads.

The kernel watches the *thread* that started the process: start it from one that lives as long as it should.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1


def tethered(argv: list[str], on_parent_death: int = signal.SIGKILL) -> list[str]:
    """Return the command that runs `argv` until we are gone."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(on_parent_death)), *argv]


def die_with_parent(parent: int, signum: int) -> None:
    """Have the kernel send us `signum` when our parent is gone; at once if that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signum)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def watch_from_aside(parent: int, signum: int) -> None:
    """Fork a watcher that sends us `signum` when our parent is gone: for kernels that do not (macOS)."""
    watched = os.getpid()
    if os.fork():
        return
    while os.getppid() == watched and _exists(parent):
        time.sleep(0.2)
    if os.getppid() == watched:
        os.kill(watched, signum)
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Bind this process to its parent, then become the command."""
    parent, signum, *argv = arguments
    bind = die_with_parent if sys.platform == "linux" else watch_from_aside
    bind(int(parent), int(signum))
    try:
        os.execvp(argv[0], argv)
    except OSError as exc:
        sys.exit(f"{argv[0]}: {exc.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])

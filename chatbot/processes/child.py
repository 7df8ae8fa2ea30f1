"""One supervised process: what to run, and the life of what runs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from chatbot.processes import lifeline
from chatbot.processes.tether import tethered

#: A process that ran this long (s) was well: its next failure is counted as the first.
STABLE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A process to keep running.

    `env` comes on top of ours. With `ready`, the roles after it start when it returns True (it is asked 20 times a
    second and must answer quickly); if that takes longer than `ready_within` (s), everything stops. A role with
    `stop_last` is stopped when the others are gone. `pass_fds` are open in the process. Lines of its output that
    contain one of `mute` are left out.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None
    ready_within: float = 15.0
    stop_last: bool = False
    pass_fds: tuple[int, ...] = ()
    mute: tuple[str, ...] = ()


class Child:
    """A role's process, its next one after it died, and when that may start."""

    def __init__(self, role: Role) -> None:
        self.role = role
        self.up = False
        self.due = 0.0
        self.started = 0.0
        self.told_to_stop = False
        self.process: subprocess.Popen[bytes] | None = None
        self._failures = 0

    def start(self, pipe: int) -> int:
        """Start the process with the reading end of the supervisor's pipe; return where its output comes from."""
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", **self.role.env, lifeline.VARIABLE: str(pipe)}
        self.process = subprocess.Popen(
            tethered(list(self.role.argv)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            env=environment,
            pass_fds=(pipe, *self.role.pass_fds),
            # Ctrl-C reaches the supervisor only, which then stops the others in order.
            process_group=0,
        )
        self.started = time.monotonic()
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        return self.process.stdout.fileno()

    def is_ready(self) -> bool:
        """Say whether the roles after this one may start; asks until the first yes."""
        self.up = self.up or (self.process is not None and (self.role.ready is None or self.role.ready()))
        return self.up

    def is_late(self) -> bool:
        """Say whether it should have been ready by now."""
        return self.process is not None and time.monotonic() - self.started > self.role.ready_within

    def terminate(self) -> None:
        """Ask it to stop, once."""
        if self.process is not None and not self.told_to_stop:
            self.told_to_stop = True
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it has started in its process group."""
        if self.process is not None:
            _kill_group(self.process.pid)

    def reap(self) -> int | None:
        """Return the status of a process that has ended since the last look (negative: by that signal)."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        _kill_group(self.process.pid)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None
        return status

    def back_off(self, shortest: float, longest: float) -> float:
        """Decide when to start again; return in how many seconds that is."""
        now = time.monotonic()
        self._failures = 1 if now - self.started > STABLE else self._failures + 1
        delay = min(longest, shortest * 2.0 ** min(self._failures - 1, 30))
        self.due = now + delay
        return delay


def _kill_group(leader: int) -> None:
    # An empty group is a ProcessLookupError, on macOS a PermissionError while its leader is a zombie.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)

"""Runs several processes as one: one log, each restarted alone when it dies, all stopped together.

A child that exits with status 2 (a configuration error) would do so again: then everything stops, with status 2.
After SIGINT, SIGTERM or SIGHUP children have `grace` seconds; a second signal stops at once. If the supervisor
itself is killed, its children end too: the kernel ends them (`tether`), or they notice (`lifeline`). A supervisor may
be a child of another one.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from chatbot.processes.child import Child, Role
from chatbot.processes.merged_log import Form, MergedLog

CONFIGURATION_ERROR = 2
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: One wish to stop may come as several signals (from the terminal, from make, from an init); in s.
ONE_WISH = 0.1
READY_POLL = 0.05


class Supervisor:
    """Keeps roles running until it is told to stop. Roles start in their order; `on_up` is called, once, when all have.

    `backoff` and `max_backoff` (s) are the first and the longest pause before a restart. `form` is that of the log.
    `run` must be called in the main thread, and only once.
    """

    def __init__(
        self,
        roles: Sequence[Role],
        *,
        name: str = "chatbot",
        grace: float = 5.0,
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        on_up: Callable[[], None] | None = None,
        out: TextIO | None = None,
        form: Form = "pretty",
    ) -> None:
        self._name = name
        self._grace = grace
        self._backoff = backoff, max_backoff
        self._on_up = on_up
        self._children = [Child(role) for role in roles]
        names, mute = [name, *(role.name for role in roles)], {role.name: role.mute for role in roles}
        self._log = MergedLog(names, out or sys.stdout, mute, form)
        self._selector = selectors.DefaultSelector()
        self._status = 0
        self._stopping_since: float | None = None
        self._deadline = float("inf")

    def say(self, text: str) -> None:
        """Write a line of our own into the log."""
        self._log.line(self._name, text)

    def run(self) -> int:
        """Run until everything has stopped; return the exit status: 0, 1 (something had to be killed) or 2."""
        with self._lifeline() as pipe, self._signals(), self._selector:
            try:
                while self._stopping_since is None or self._running():
                    self._step(pipe)
            finally:
                self._kill_all()
        return self._status

    def stop(self, status: int = 0) -> None:
        """Begin to stop."""
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
            self._deadline = self._stopping_since + self._grace
            self._status = status

    def _step(self, pipe: int) -> None:
        if self._stopping_since is None:
            self._start_what_is_due(pipe)
        if self._stopping_since is not None:
            self._press_on()
        self._listen(self._patience())
        for child in self._children:
            self._look_after(child)
        if self._log.broken:
            self.stop()

    def _running(self) -> list[Child]:
        return [child for child in self._children if child.process]

    # --- starting ---
    def _start_what_is_due(self, pipe: int) -> None:
        for child in self._children:
            if not child.process and time.monotonic() >= child.due:
                self._selector.register(child.start(pipe), selectors.EVENT_READ, child)
            if not child.is_ready():
                if child.is_late():
                    self.say(f"{child.role.name} is not ready after {child.role.ready_within:g} s")
                    self.stop(1)
                return
        if self._on_up:
            on_up, self._on_up = self._on_up, None
            on_up()

    def _look_after(self, child: Child) -> None:
        output = child.process.stdout.fileno() if child.process and child.process.stdout else -1
        if child.process and child.process.poll() is not None:
            self._drain(child, output)
        if (status := child.reap()) is None:
            return
        self._log.end(child.role.name)
        if self._stopping_since is None:
            self._after_death(child, status)

    def _after_death(self, child: Child, status: int) -> None:
        ended = f"{child.role.name} {_describe(status)}"
        if status == CONFIGURATION_ERROR:
            self.say(f"{ended}: stopping")
            self.stop(CONFIGURATION_ERROR)
        elif child.role.ready and not child.up:
            self.say(f"{ended} before it was ready: stopping")
            self.stop(1)
        else:
            self.say(f"{ended}; starting it again in {child.back_off(*self._backoff):g} s")

    # --- stopping ---
    def _press_on(self) -> None:
        if time.monotonic() >= self._deadline:
            self._kill_the_rest()
            return
        first = [child for child in self._running() if not child.role.stop_last]
        for child in first or self._running():
            child.terminate()

    def _kill_the_rest(self) -> None:
        for child in self._running():
            # A server that was to be stopped last may never have been asked.
            if child.told_to_stop:
                self._status = self._status or 1
                self.say(f"{child.role.name} did not stop in time: killed")
            child.kill()
        self._deadline = float("inf")

    def _kill_all(self) -> None:
        for child in self._running():
            child.kill()
            if child.process:
                child.process.wait()
            child.reap()

    # --- waiting ---
    def _patience(self) -> float | None:
        now = time.monotonic()
        if self._stopping_since is not None:
            return None if self._deadline == float("inf") else max(0.0, self._deadline - now)
        if any(child.process and not child.up for child in self._children):
            return READY_POLL
        return min((max(0.0, child.due - now) for child in self._children if not child.process), default=None)

    def _listen(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            if isinstance(key.data, Child):
                self._copy(key.data, key.fd)
            else:
                for signum in key.fileobj.recv(64):  # type: ignore[union-attr]
                    self._on_signal(signum)

    def _on_signal(self, signum: int) -> None:
        if signum not in STOP_SIGNALS:
            return
        if self._stopping_since is None:
            self.say("stopping")
            self.stop()
        elif time.monotonic() - self._stopping_since > ONE_WISH:
            self._deadline = 0.0

    def _copy(self, child: Child, output: int) -> bool:
        try:
            data = os.read(output, 65_536)
        except BlockingIOError:
            return False
        if data:
            self._log.feed(child.role.name, data)
        else:
            self._selector.unregister(output)
        return bool(data)

    def _drain(self, child: Child, output: int) -> None:
        if output in self._selector.get_map():
            while self._copy(child, output):
                pass
        if output in self._selector.get_map():
            self._selector.unregister(output)

    @contextlib.contextmanager
    def _lifeline(self) -> Iterator[int]:
        reading, writing = os.pipe()
        try:
            yield reading
        finally:
            os.close(reading)
            os.close(writing)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            theirs.setblocking(False)
            self._selector.register(ours, selectors.EVENT_READ)
            wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
            handlers = {s: signal.signal(s, _leave_to_the_loop) for s in (*STOP_SIGNALS, signal.SIGCHLD)}
            try:
                yield
            finally:
                for signum, handler in handlers.items():
                    signal.signal(signum, handler)
                signal.set_wakeup_fd(wakeup)


def _leave_to_the_loop(signum: int, frame: object) -> None:
    """Nothing: the wake-up socket has the signal's number."""


def _describe(status: int) -> str:
    if status >= 0:
        return f"exited with status {status}"
    return f"was killed by {signal.Signals(-status).name}"

"""The processes of a benchmark: started with a specification, and read line by line as JSON.

Each is tied to ours, so that none outlives a killed benchmark. A program prints `ready` when it can be measured, and
then whatever it has to report.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from chatbot.bench.waiting import wait_until
from chatbot.processes.tether import tethered

SECRET = "whsec_" + "YmVuY2htYXJrLWJlbmNobWFyay1iZW5jaG1hcms="


class Program:
    """A process of ours; what it prints on standard output is kept in `events`, what it logs is shown if it fails."""

    def __init__(self, *argv: str, env: Mapping[str, str] | None = None, spec: Mapping[str, Any] | None = None) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CHATBOT_")}
        self.events: list[Any] = []
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self.process = subprocess.Popen(
            tethered([sys.executable, *argv, *([msgspec.json.encode(spec).decode()] if spec is not None else [])]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env={**clean, **(env or {})},
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, name=f"reader of {argv[-1]}", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_for(self, count: int, timeout: float = 60.0) -> list[Any]:
        """Return the first `count` events. Raises TimeoutError, or RuntimeError if the process ends before."""
        try:
            wait_until(lambda: self._ended() or len(self.events) >= count, timeout)
        except TimeoutError:
            raise TimeoutError(f"{self}: not {count} events within {timeout:g} s") from None
        if len(self.events) < count:
            raise RuntimeError(f"{self} ended with {self.process.returncode}")
        return self.events[:count]

    def ready(self, timeout: float = 30.0) -> None:
        """Wait until it says `ready`; a worker may have begun by then."""
        wait_until(lambda: self._ended() or "ready" in self.events, timeout, f"{self}: not ready")
        if "ready" not in self.events:
            raise RuntimeError(f"{self} ended with {self.process.returncode}")
        self.events.remove("ready")

    def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it on the spot."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End it in its own time."""
        self._end(signal.SIGTERM)

    def output(self) -> str:
        """Return what it logged."""
        # By position: to seek would move the place where the process writes, too.
        return os.pread(self._log.fileno(), 10_000_000, 0).decode(errors="replace")

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._log.close()

    def __str__(self) -> str:
        return f"process {self.pid} ({len(self.events)} events, last {self.events[-1:]}): {self.output()[-2_000:]}"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with suppress(msgspec.DecodeError):  # a peer's banner
                self.events += msgspec.json.decode(b"[" + line + b"]")

    def _ended(self) -> bool:
        if self.process.poll() is None:
            return False
        self._reader.join(5)  # what it said last may not have been read yet
        return True

    def _end(self, signum: int) -> None:
        if self.process.poll() is None:
            os.kill(self.pid, signum)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._reader.join(5)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()


def service(store: str, broker: str, *, outbound: str = "http://127.0.0.1:9/", **settings: str) -> dict[str, str]:
    """Return the environment of a service of ours between a store and a broker."""
    return {
        "CHATBOT_STORE_URL": store,
        "CHATBOT_BROKER_URL": broker,
        "CHATBOT_GENERIC_SECRET": SECRET,
        "CHATBOT_GENERIC_OUTBOUND_URL": outbound,
        "CHATBOT_ADMIN_PASSWORD": "a password of the bench",
        "CHATBOT_LOG_LEVEL": "warning",
        **settings,
    }

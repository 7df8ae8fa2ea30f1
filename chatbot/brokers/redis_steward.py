"""The one thread of a worker process that talks to the server when nobody else does.

It renews the process's lease, takes over from the dead, and promotes delayed messages at their time. Until then it
waits on the server, where whoever enqueues an earlier one wakes it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from dramatiq.errors import ConnectionClosed

from chatbot.brokers.redis_clients import Backoff, wrapped
from chatbot.brokers.redis_scripts import Scripts
from chatbot.stores.nap import Nap

logger = logging.getLogger(__name__)

#: s. Plain producers put delayed messages on a list and wake nobody; while they do, it is looked at this often.
ATTENTION = 0.25
#: s. How long that is kept up after the last such message, and how often dead workers of plain Dramatiq are looked for.
ATTENTIVE_FOR = ADOPT_EVERY = 30.0


class Steward:
    """Keeps a worker's lease while it runs; see the module. All times are in s, except those of `timeouts`."""

    def __init__(
        self,
        worker: str,
        client: Callable[[], Any],
        scripts: Scripts,
        namespace: str,
        *,
        heartbeat: float,
        lease: float,
        timeouts: tuple[int, int],
        queues: Callable[[], list[str]],
        on_lost: Callable[[], None],
    ) -> None:
        self._worker, self._client, self._scripts = worker, client, scripts
        self._wake_lists = [f"{namespace}:__wake__.{worker}", f"{namespace}:__wake__"]
        self._heartbeat, self._lease = heartbeat, lease
        #: ms: after which a worker of plain Dramatiq is dead, and for how long dead letters are kept.
        self._timeouts = timeouts
        self._queues, self._on_lost = queues, on_lost
        self._renewed = threading.Condition()
        self._valid_until = 0.0
        self._attentive_until = self._adopt_at = 0.0
        self._nap: Nap | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chatbot-redis-steward", daemon=True)

    def start(self) -> None:
        """Begin; the first tick takes the lease."""
        self._thread.start()

    def wake(self) -> None:
        """Let it tick now. Raises ConnectionClosed."""
        self._scripts("wake", self._worker)

    def doubt(self) -> None:
        """The server says that there is no lease: nobody may rely on it until the next tick."""
        self._valid_until = 0.0
        self.wake()

    def holds_lease(self, timeout: float) -> bool:
        """Say whether the lease is good, after waiting for up to `timeout` s if it is not."""
        if time.monotonic() < self._valid_until:
            return True
        with self._renewed:
            return self._renewed.wait_for(lambda: time.monotonic() < self._valid_until, timeout)

    def stop(self) -> None:
        """End the thread, and the lease if nothing is held any more."""
        self._stop.set()
        try:
            self.wake()
            self._thread.join()
            self._scripts("leave", self._worker)
        except ConnectionClosed as exc:
            logger.warning("the lease of %s ends by itself: %s", self._worker, exc)
            self._thread.join()

    def _run(self) -> None:
        backoff = Backoff()
        while not self._stop.is_set():
            try:
                self._tick_and_wait()
                backoff.reset()
            except ConnectionClosed as exc:
                backoff.log("the lease is not renewed while the server is away: %s", exc)
                self._stop.wait(backoff.pause())
            except Exception:
                logger.exception("the lease could not be renewed")
                self._stop.wait(backoff.pause())

    def _tick_and_wait(self) -> None:
        wait = self._tick()
        if wait > 0 and not self._stop.is_set():
            with wrapped():
                self._napping().sleep(wait)

    def _napping(self) -> Nap:
        client = self._client()
        if self._nap is None or self._nap.client is not client:
            self._nap = Nap(client, self._wake_lists)
        return self._nap

    def _tick(self) -> float:
        """Do what is due; return how long to wait then."""
        now = time.monotonic()
        # After an outage all leases have ended, those of the living too: whoever comes back first lets them renew.
        reaping = now < self._valid_until
        adopting, dead_ttl = self._timeouts
        adopt_now = now >= self._adopt_at
        known, wait_ms, left = self._scripts(
            "tick", self._worker, round(self._lease * 1000), int(reaping), adopting if adopt_now else 0, dead_ttl,
            *self._queues(),
        )  # fmt: skip
        if adopt_now:
            self._adopt_at = now + ADOPT_EVERY
        if not known:
            self._on_lost()
        with self._renewed:
            self._valid_until = now + self._lease
            self._renewed.notify_all()
        return self._next_tick(now, wait_ms / 1000, left)

    def _next_tick(self, now: float, wait: float, left: int) -> float:
        if left:
            self._attentive_until = now + ATTENTIVE_FOR
        most = min(self._heartbeat, ATTENTION) if now < self._attentive_until else self._heartbeat
        return max(0.0, min(wait, most))

"""Gauges that are read when somebody asks: what the ledger holds, and whether store and broker answer.

One look serves everybody who asks within some seconds, and reads counters and the heads of indexes: it never scans.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from chatbot.errors import StoreUnavailable
from chatbot.metrics.catalog import BY_NAME
from chatbot.stores.base import Store

#: s for which a look is good enough.
FRESH_FOR = 5.0


class Standing(Collector):
    """Collects the gauges. `ready` says for `store` and `broker` whether they answer: `ok`, or anything else."""

    def __init__(self, store: Store, ready: Callable[[], Mapping[str, str]], *, fresh_for: float = FRESH_FOR) -> None:
        self._store, self._ready, self._fresh_for = store, ready, fresh_for
        self._lock = threading.Lock()
        self._seen: dict[str, float] = {}
        self._stale_at = 0.0

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Name nothing, so that a registry does not look while it registers us."""
        return iter(())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return what was seen; while the store does not answer, only that."""
        with self._lock:  # who asks meanwhile gets what the one before has seen
            if time.monotonic() >= self._stale_at:
                self._seen = self._look()
                self._stale_at = time.monotonic() + self._fresh_for
            seen = dict(self._seen)
        for name, value in seen.items():
            yield GaugeMetricFamily(name, BY_NAME[name].help, value)

    def _look(self) -> dict[str, float]:
        state = self._ready()
        up = {f"chatbot_{what}_up": float(state.get(what) == "ok") for what in ("store", "broker")}
        try:
            return up | self._counted()
        except StoreUnavailable:
            return up | {"chatbot_store_up": 0.0}

    def _counted(self) -> dict[str, float]:
        parts = self._store.survey()
        due = [part.oldest_due_in for part in parts if part.oldest_due_in is not None]
        return {
            "chatbot_open_windows": sum(part.open for part in parts),
            "chatbot_running_turns": sum(part.running for part in parts),
            "chatbot_buried_turns": sum(part.dead for part in parts),
            "chatbot_overdue_seconds": max(0, -min(due, default=0)) / 1000,
        }

"""Counters and histograms of this process, or of all processes under one supervisor.

Processes that share a port or a supervisor share a directory of memory-mapped files (Prometheus' multiprocess mode),
so that each of them can answer for all. A file belongs to a role, not to a pid: a process that takes a dead one's
place goes on counting where that stopped, and no number of restarts fills the disk.
"""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, values
from prometheus_client.multiprocess import MultiProcessCollector

from chatbot.metrics.catalog import CATALOG, Metric

#: prometheus_client's own: whoever has it when that is imported, shares.
DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
#: Whose file in the directory is ours.
SLOT = "CHATBOT_METRICS_SLOT"


def shared(directory: str, slot: str) -> dict[str, str]:
    """Return the environment of a process that shares its numbers with others."""
    return {DIRECTORY: directory, SLOT: slot}


class Meters:
    """The numbers. `count` and `observe` are called on the way of a message: they look up once, then only add."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._directory = os.environ.get(DIRECTORY)
        if self._directory and SLOT in os.environ:
            _take(os.environ[SLOT])
        self._registry = CollectorRegistry()
        self._families = {metric.name: self._family(metric) for metric in CATALOG if metric.kind != "gauge"}
        self._children: dict[tuple[str, ...], Any] = {}

    def _family(self, metric: Metric) -> Counter | Histogram:
        if metric.kind == "counter":
            return Counter(metric.name, metric.help, metric.labels, registry=self._registry)
        return Histogram(metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets)

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to a counter. `by=0` only makes it visible: a rate is not known before the second value."""
        child = self._children.get((name, *labels)) or self._child(name, *labels)
        child.inc(by)

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add a value to a histogram; clocks that disagree make no negative ones."""
        child = self._children.get((name, *labels)) or self._child(name, *labels)
        child.observe(max(0.0, value))

    def _child(self, name: str, *labels: str) -> Any:
        family = self._families[name]
        child = self._children[(name, *labels)] = family.labels(*labels) if labels else family
        return child

    def registry(self) -> CollectorRegistry:
        """Return a registry with the numbers of all that share with us."""
        registry = CollectorRegistry()
        if self._directory:
            MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]
        else:
            registry.register(self._registry)
        return registry


def _take(slot: str) -> None:
    """Write into a role's file, whatever our pid."""
    make: Any = values.MultiProcessValue
    values.ValueClass = make(process_identifier=lambda: slot)

"""Every metric of the service. `python -m tests.metrics.test_page` writes docs/metrics.md from this table.

Labels have few values, all of them known to the program: actors, queues, channels, outcomes. Never a conversation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: s. From what a store takes to what a slow responder takes.
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
#: s. What people type in.
WINDOWS = (0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0)
ITEMS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 50.0, 100.0, 1_000.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One family. A `gauge` is read from the store when somebody asks; everything else is counted as it happens."""

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS


def _counter(name: str, text: str, *labels: str) -> Metric:
    return Metric(name=f"chatbot_{name}_total", kind="counter", help=text, labels=labels)


def _histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...] = SECONDS) -> Metric:
    return Metric(name=f"chatbot_{name}", kind="histogram", help=text, labels=labels, buckets=buckets)


def _gauge(name: str, text: str) -> Metric:
    return Metric(name=f"chatbot_{name}", kind="gauge", help=text)


CATALOG = (
    # --- webhooks ---
    _counter(
        "webhook_messages",
        "Messages of webhooks by what became of them: accepted is absorbed or enqueued, duplicate was there before.",
        "channel", "outcome",
    ),
    _histogram("admit_seconds", "Time that the ledger took to admit one batch of messages."),
    # --- the guards ---
    _counter(
        "decisions",
        "What the guards decided about calls: duplicate is suppressed, absorbed joined a window, overflow was refused.",
        "actor", "guarantee", "outcome",
    ),
    _counter(
        "claims",
        "Deliveries of turns by what the ledger said: new, mine and taken run, all others are copies that must not.",
        "actor", "verdict",
    ),
    # --- turns; a delivery is a turn of deliver_replies ---
    _histogram(
        "window_seconds", "From a turn's first item to the moment when its window closed.", "actor", buckets=WINDOWS
    ),
    _histogram("turn_items", "Items of a settled turn.", "actor", buckets=ITEMS),
    _histogram("overshoot_seconds", "From the close of a window to the start of its actor.", "actor"),
    _histogram(
        "turn_latency_seconds", "From the arrival of a turn's last item to its settlement: what people wait.", "actor"
    ),
    _counter("turns", "Ends of runs: settled, buried, kept for a later attempt, split in two, or refused.",
             "actor", "outcome"),
    # --- every message that a worker runs ---
    _histogram("queue_seconds", "Age of a message when its worker took it up, since it was last published.", "queue"),
    _histogram("run_seconds", "Time that an actor ran.", "actor"),
    _counter("retries", "Runs that failed and will be repeated.", "actor"),
    _counter("dead_letters", "Messages and turns that were given up.", "actor"),
    # --- the responder ---
    _histogram("responder_seconds", "Time that the responder took to answer, or to fail."),
    _counter("responder_errors", "Failures of the responder: transient, permanent, or another error.", "error"),
    # --- what goes wrong below ---
    _counter("leases_lost", "Runs that lost their lease, and had no effect."),
    _counter(
        "store_errors",
        "Times that the store did not answer a guard, by what that meant: failed, waited, or proceeded unguarded.",
        "actor", "decision",
    ),
    _counter("broker_errors", "Times that due turns could not be handed over to the broker; they are tried again."),
    # --- the ledger and the broker, when somebody asks: the same in every process, so take the max ---
    _gauge("store_up", "1 if the store answers."),
    _gauge("broker_up", "1 if the broker answers."),
    _gauge("open_windows", "Conversations with something unsettled: an open window, a turn, or a reply on its way."),
    _gauge("running_turns", "Turns that run now."),
    _gauge("buried_turns", "Dead letters in the ledger."),
    _gauge("overdue_seconds", "For how long the oldest due turn has waited for somebody to publish it."),
)  # fmt: skip

BY_NAME = {metric.name: metric for metric in CATALOG}


def table() -> str:
    """Return the reference of all metrics as a Markdown table."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in CATALOG:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows)

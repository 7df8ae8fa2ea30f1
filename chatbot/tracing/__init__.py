"""Traces from the webhook to the delivery, by OpenTelemetry: off unless CHATBOT_OTEL_ENDPOINT says where they go.

A message carries its webhook's `traceparent` into the ledger, and a reply that of its turn: so one trace crosses
processes and the broker, whichever that is. It tells what was done and how long that took; not what people wrote, nor
who they are. `OTEL_*` variables of the environment (service name, headers, sampler, limits) mean what they always do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatbot.importing import needs

if TYPE_CHECKING:
    from chatbot.tracing.spans import Tracing


def create(endpoint: str) -> Tracing | None:
    """Return what traces, or None without an endpoint. Raises ConfigurationError if the extra `otel` is missing."""
    if not endpoint:
        return None
    for package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        needs(package, "otel", what="CHATBOT_OTEL_ENDPOINT")
    from chatbot.tracing.spans import Tracing

    return Tracing(endpoint)

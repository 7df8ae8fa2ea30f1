"""Where in a trace this thread or task is, as W3C Trace Context has it: what is sent from here carries it on."""

from __future__ import annotations

from contextvars import ContextVar

#: A `traceparent`; empty where nothing is traced, which costs nothing.
current: ContextVar[str] = ContextVar("traceparent", default="")

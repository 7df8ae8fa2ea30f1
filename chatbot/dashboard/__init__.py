"""The broker's queues, looked at through dramatiq-dashboard, which knows Redis only: here it gets both brokers, and
actions that lose nothing."""

from __future__ import annotations

from chatbot.dashboard.pages import routes

__all__ = ["routes"]

"""The live console: what the service does now, what became of a message, dead letters, and a playground."""

from __future__ import annotations

from chatbot.console.pages import routes

__all__ = ["routes"]

"""How a process logs: one line an event, on standard error."""

from __future__ import annotations

import logging


def configure(level: str) -> None:
    """Log from this level on. Libraries that tell of every request are kept to warnings."""
    logging.basicConfig(level=level.upper(), format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", force=True)
    # pika logs what it raises, with tracebacks; and a dropped copy of a turn is a skipped message, of which Dramatiq's
    # worker would warn, although it is ordinary work.
    for name, least in {
        "httpx": "WARNING",
        "httpcore": "WARNING",
        "pika": "CRITICAL",
        "dramatiq.worker": "ERROR",
    }.items():
        logging.getLogger(name).setLevel(least)

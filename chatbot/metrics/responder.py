"""A responder under a stop-watch."""

from __future__ import annotations

import time
from collections.abc import Sequence

from chatbot.errors import Permanent, Transient
from chatbot.metrics.meters import Meters
from chatbot.model import Draft, TurnRequest
from chatbot.responders.base import Responder


class Measured:
    """Asks another responder, and notes how long that took and how it failed."""

    def __init__(self, responder: Responder, meters: Meters) -> None:
        self._responder, self._meters = responder, meters
        for error in ("transient", "permanent", "other"):
            meters.count("chatbot_responder_errors_total", error, by=0)

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Ask, and return or raise what the responder does."""
        since = time.monotonic()
        try:
            return self._responder.respond(request)
        except Exception as exc:  # an interrupt is nobody's failure
            self._meters.count("chatbot_responder_errors_total", _kind(exc))
            raise
        finally:
            self._meters.observe("chatbot_responder_seconds", time.monotonic() - since)

    def close(self) -> None:
        """Let the responder give back connections."""
        self._responder.close()


def _kind(error: Exception) -> str:
    return "transient" if isinstance(error, Transient) else "permanent" if isinstance(error, Permanent) else "other"

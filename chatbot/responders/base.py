"""What a responder is: it is asked once per attempt and says what to reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chatbot.model import Draft, TurnRequest


class Responder(Protocol):
    """Turns a burst into replies."""

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Say what to reply, in order; nothing means silence. Raises Transient (with `retry_after` s) or Permanent."""

    def close(self) -> None:
        """Give back connections."""

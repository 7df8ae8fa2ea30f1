"""The responder of a first run: it says what it heard, so that one can see which messages became one turn."""

from __future__ import annotations

from collections.abc import Sequence

from chatbot.model import Draft, TurnRequest
from chatbot.responders.words import lines


class Echo:
    """Answers a burst with one reply: its texts, a line each, and its attachments by name."""

    def __init__(self, **_: object) -> None:
        """It has no options; those of the others do not disturb it, so that a service can swap them freely."""

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Return one draft that shows every message of the turn, in order."""
        return [Draft(text="\n".join(line for message in request.messages for line in lines(message)))]

    def close(self) -> None:
        """There is nothing to give back."""

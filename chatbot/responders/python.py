"""A responder that is a user's own function, `module:callable`, plain or async.

It gets a TurnRequest and returns text, a Draft, a list of those, or None for silence. A plain function runs in the
worker's thread and bounds its own time; an async one runs on the responder's event loop, for `timeout` s at most.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from chatbot.errors import ConfigurationError, Permanent
from chatbot.importing import load
from chatbot.model import Draft, TurnRequest
from chatbot.responders.event_loop import EventLoop


class Python:
    """Asks a function of this process. Anything but Transient that it raises is the actor's to judge."""

    def __init__(self, function: Callable[[TurnRequest], Any], *, timeout: float = 60.0) -> None:
        self._function = function
        self._timeout = float(timeout)
        self._loop = EventLoop()

    def respond(self, request: TurnRequest) -> Sequence[Draft]:
        """Call the function. Raises what it raises, and Permanent if what it returns is no reply."""
        answer = self._function(request)
        # Asked of the result, not of the function: a partial or a callable object may be async without looking so.
        if inspect.isawaitable(answer):
            answer = self._loop.run(answer, self._timeout)
        return drafts(answer)

    def close(self) -> None:
        """Stop the event loop, if an async function ever needed it; what still runs on it is cancelled."""
        self._loop.close()


def from_path(path: str, *, timeout: float = 60.0) -> Python:
    """Import `module:callable` now, so that a typo fails at start and not at the first message."""
    function = load(path)
    if not callable(function):
        raise ConfigurationError(f"{path!r} is a {type(function).__name__}, which cannot be called")
    return Python(function, timeout=timeout)


def drafts(answer: object) -> list[Draft]:
    """Read what a function returned. Raises Permanent that says which part is no reply."""
    parts = list(answer) if isinstance(answer, list | tuple) else [answer]
    found = [_draft(part, f"[{place}]" if isinstance(answer, list | tuple) else "") for place, part in enumerate(parts)]
    return [draft for draft in found if draft.text.strip() or draft.attachments]


def _draft(part: object, place: str) -> Draft:
    match part:
        case Draft(text=str()):
            return part
        case str():
            return Draft(text=part)
        case None:
            return Draft()
    kind = type(part).__name__
    raise Permanent(
        f"the responder returned a {kind}{place and f' at {place}'}; it may return str, Draft, None or a list"
    )

"""deliver_replies: replies leave one at a time, in order, per conversation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from chatbot.channels.base import Channel
from chatbot.errors import Ambiguous, LeaseLost, Permanent
from chatbot.middleware import current_turn
from chatbot.model import Reply

#: s. Renewals go out every second while a request runs; before it starts, the lease must outlive two that get lost.
#: Of a turn that has just begun it does (its grace is 2.5 s), so most replies leave without a renewal of their own; an
#: operator who takes the turn away within that half second comes too late for them.
AHEAD = 2.0


def delivery_actor(
    channels: Mapping[str, Channel], delivery: Literal["at_least_once", "at_most_once"]
) -> Callable[[list[Reply]], None]:
    """Return the function that sends a reply.

    With `at_most_once`, a reply that may have left (its worker was lost, or the answer never came) is a dead letter
    instead of a second message.
    """

    def deliver_replies(items: list[Reply]) -> None:
        turn = current_turn()
        if turn is None:
            raise LeaseLost("deliver_replies runs as a debounced actor only")
        if turn.lost and delivery == "at_most_once":
            raise Permanent("ambiguous: the worker that sent this reply was lost")
        for reply in items:
            turn.secure(AHEAD)
            try:
                _channel(channels, reply).send(reply)
            except Ambiguous as exc:
                if delivery == "at_most_once":
                    raise Permanent(f"ambiguous: {exc}") from exc
                raise

    return deliver_replies


def _channel(channels: Mapping[str, Channel], reply: Reply) -> Channel:
    try:
        return channels[reply.channel]
    except KeyError:
        raise Permanent(f"there is no channel {reply.channel!r} any more") from None

"""What a worker's lines are about: the message, the turn, and the correlation id of the request that began it.

The id is born at the webhook (chatbot/web/correlation.py) and lies in the ledger with its item. A turn has the id of
its first member, and lists those of the others; its replies have the turn's.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from dramatiq.middleware import Middleware
from msgspec import Struct
from structlog.contextvars import bind_contextvars, clear_contextvars

from chatbot.decoding import decoder
from chatbot.middleware.observer import Ending, Observer
from chatbot.middleware.turns import turn_id
from chatbot.stores.values import BeginVerdict, Entry, FollowUp

if TYPE_CHECKING:
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

_RUN = frozenset({"new", "mine", "taken"})
#: Of so many other members the ids are listed.
_OTHERS = 20


class _Item(Struct):
    correlation_id: str = ""


class Runs(Middleware, Observer):
    """Binds what a worker's thread works on, and logs how every turn ends. Put it first."""

    def before_process_message(self, broker: Any, message: MessageProxy) -> None:
        clear_contextvars()
        bind_contextvars(actor=message.actor_name, message_id=message.message_id)

    def after_ack(self, broker: Any, message: MessageProxy) -> None:
        clear_contextvars()

    def after_nack(self, broker: Any, message: MessageProxy) -> None:
        clear_contextvars()

    def began(
        self, key: str, epoch: int, message_id: str, verdict: BeginVerdict, owner: str, entries: Sequence[Entry]
    ) -> None:
        if verdict not in _RUN:
            return
        first, *others = _ids(entries) or [""]
        about: dict[str, Any] = {"correlation_id": first} if first else {}
        if others:
            about["joined"] = others[:_OTHERS]
        bind_contextvars(turn_id=turn_id(key, entries), **about)

    def settled(
        self,
        key: str,
        epoch: int,
        outcome: Ending,
        entries: Sequence[Entry],
        follow_ups: Sequence[FollowUp],
        error: BaseException | None,
    ) -> None:
        about: dict[str, Any] = {"items": len(entries)}
        if error is not None:
            about["error"] = type(error).__name__
        elif follow_ups:
            about["left"] = len(follow_ups)
        logger.log(logging.INFO if outcome == "settled" else logging.WARNING, "turn %s", outcome, extra=about)


def _ids(entries: Sequence[Entry]) -> list[str]:
    """Return the correlation ids of a turn's members, each once, in order."""
    return list(dict.fromkeys(found for entry in entries if (found := _id(entry))))


def _id(entry: Entry) -> str:
    try:
        return str(decoder(_Item).decode(entry.body).correlation_id)
    except (msgspec.MsgspecError, RecursionError):
        return ""  # an item of another actor: anything that is JSON

"""process_turn: a burst of messages becomes replies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from dramatiq.message import Message

from chatbot import traceparent
from chatbot.actors.history import History
from chatbot.actors.keys import by_conversation
from chatbot.errors import LeaseLost
from chatbot.middleware import Turn, current_turn
from chatbot.model import Draft, InboundMessage, Reply, TurnRequest
from chatbot.responders.base import Responder

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def turn_actor(
    responder: Responder, history: History, deliver: Callable[[Reply], Message[Any]]
) -> Callable[[list[InboundMessage]], None]:
    """Return the function that asks a responder about a burst; `deliver` makes the call that sends one reply."""

    def process_turn(items: list[InboundMessage]) -> None:
        turn = current_turn()
        if turn is None:
            raise LeaseLost("process_turn runs as a debounced actor only")
        messages, conversation = in_order_sent(items), by_conversation(items[0])
        drafts = responder.respond(_request(turn, messages, history.before(conversation, turn.id)))
        history.add(conversation, turn.id, messages, drafts)
        first = next((item.correlation_id for item in items if item.correlation_id), "")
        for reply in _replies(turn, messages[-1], drafts, first):
            turn.then(deliver(reply))

    return process_turn


def in_order_sent(items: Sequence[InboundMessage]) -> list[InboundMessage]:
    """Return messages by the time at which they were sent: no provider delivers in order. Ties keep their arrival."""
    ids = {item.message_id for item in items}
    # An edit that stands where its message stood was sent later than what follows it, so its time says nothing.
    times = [None if item.kind == "edit" and item.target_id not in ids else item.sent_at for item in items]
    # One without a time stays beside its neighbour: it takes the newest time before it.
    newest, keyed = min(filter(None, times), default=_LONG_AGO), []
    for time, item in zip(times, items, strict=True):
        newest = max(newest, time) if time else newest
        keyed.append((time or newest, item))
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]


def _request(turn: Turn, messages: Sequence[InboundMessage], before: Any) -> TurnRequest:
    return TurnRequest(
        turn_id=turn.id,
        channel=messages[0].channel,
        account_id=messages[0].account_id,
        conversation_id=messages[0].conversation_id,
        messages=tuple(messages),
        history=before,
        attempt=turn.attempt,
    )


def _replies(turn: Turn, last: InboundMessage, drafts: Sequence[Draft], correlation_id: str) -> list[Reply]:
    return [
        Reply(
            reply_id=f"{turn.id}_{position}",
            turn_id=turn.id,
            channel=last.channel,
            account_id=last.account_id,
            conversation_id=last.conversation_id,
            thread_id=last.thread_id,
            recipient_id=last.sender_id,
            position=position,
            text=draft.text,
            attachments=draft.attachments,
            correlation_id=correlation_id,
            traceparent=traceparent.current.get(),
        )
        for position, draft in enumerate(drafts)
    ]

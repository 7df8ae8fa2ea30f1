"""The service's actors: plain functions, declared on a broker by one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chatbot.actors.deliveries import delivery_actor
from chatbot.actors.history import History
from chatbot.actors.keys import by_conversation, by_message
from chatbot.actors.sweep import declare_sweep
from chatbot.actors.turns import turn_actor
from chatbot.channels.base import Channel
from chatbot.middleware import Debounced, Idempotent, declare
from chatbot.model import InboundMessage
from chatbot.responders.base import Responder
from chatbot.settings import Settings
from chatbot.stores import Store

if TYPE_CHECKING:
    from dramatiq import Actor, Broker


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    """The actors of the service."""

    process_turn: Actor[..., Any]
    deliver_replies: Actor[..., Any]
    sweep: Actor[..., Any]


def declare_actors(
    broker: Broker,
    settings: Settings,
    channels: Mapping[str, Channel],
    responder: Responder,
    history: History,
    store: Store,
) -> Actors:
    """Declare the service's actors. Web and workers call this alike, so each knows the other's actors."""

    # A provider that resends for longer than we remember would be answered twice.
    least = settings.message_ttl_s * 1000
    remembered = {name: max(least, channel.resend_horizon) for name, channel in channels.items()}

    def remembered_for(message: InboundMessage) -> int:
        return remembered.get(message.channel, least)

    deliver_replies = declare(
        broker,
        delivery_actor(channels, settings.delivery),
        queue_name="high",
        debounced=Debounced(key=by_conversation, wait=0, max_wait=0, max_items=1, attempts=settings.delivery_attempts),
    )
    process_turn = declare(
        broker,
        turn_actor(responder, history, deliver_replies.message),
        queue_name="default",
        debounced=Debounced(
            key=by_conversation,
            wait=settings.debounce_wait_ms,
            max_wait=settings.debounce_max_wait_ms,
            max_items=settings.debounce_max_messages,
            attempts=settings.turn_attempts,
        ),
        idempotent=Idempotent(key=by_message, ttl=remembered_for, result_ttl=settings.turn_ttl_s * 1000),
    )
    sweep = declare_sweep(broker, store)
    return Actors(process_turn=process_turn, deliver_replies=deliver_replies, sweep=sweep)

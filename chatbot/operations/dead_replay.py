"""Replaying dead letters, and dropping them, one or many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dramatiq.message import Message

from chatbot.dashboard.look import drop_letter
from chatbot.dashboard.pages import look_at
from chatbot.decoding import decoder
from chatbot.errors import ChatbotError
from chatbot.middleware.dead_letters import DeadLetter, DeadLetters
from chatbot.middleware.items import item_type
from chatbot.middleware.policies import Debounced, Idempotent
from chatbot.operations.conversations import NotFound
from chatbot.operations.dead import Letter, grave_of, message_of
from chatbot.service import Service
from chatbot.stores.operators import Grave
from chatbot.stores.values import DAY, Window


class NotReplayed(ChatbotError):
    """The dead letter cannot be replayed by this process."""


def replay(service: Service, letter: Letter) -> int:
    """Let a dead letter be worked on again; return how many items that are.

    A turn's items are accepted and its grave emptied in one step. A message is removed, from the broker's dead letters
    and from the journal, only after the broker has confirmed its copy, so a crash in between leaves it in both places.
    Raises NotFound, NotReplayed and BrokerConnectionError.
    """
    if letter.actor not in service.broker.actors:
        raise NotReplayed(f"no actor {letter.actor!r} is declared here: replay it where it is, or drop it")
    if letter.key is not None:
        return service.store.replay(letter.key, letter.epoch, _window(service, grave_of(service, letter)))
    message = message_of(service, letter)
    service.broker.enqueue(_again(message))
    _remove_copy(service, message)
    drop_letter(DeadLetters(service.store), message)
    return 1


def _window(service: Service, grave: Grave) -> Window:
    actor = service.broker.get_actor(grave.key.partition("/")[0])
    policy, idempotent = actor.options.get("debounced"), actor.options.get("idempotent")
    if not isinstance(policy, Debounced):
        raise NotReplayed(f"the actor {actor.actor_name!r} is not debounced any more: drop its turn")
    ttls = [DAY]
    if isinstance(idempotent, Idempotent):
        # All items of a key share one memory: the longest.
        items = [decoder(item_type(actor)).decode(entry.body) for entry in grave.entries]
        ttls = [idempotent.remembered(actor.message(item)) for item in items]
    return policy.window(max(ttls))


def _again(letter: DeadLetter) -> Message[Any]:
    # Marked as admitted: an operator's replay is no duplicate of anything.
    return Message(
        queue_name=letter.queue,
        actor_name=letter.actor,
        args=tuple(letter.args),
        kwargs=letter.kwargs,
        options={**letter.options, "outcome": "enqueued"},
        message_id=letter.message_id,
    )


def drop(service: Service, letter: Letter) -> int:
    """Drop a dead letter for good, from the broker's dead letters, too; return how many items that were, 0 if it was
    gone. Raises BrokerConnectionError."""
    if letter.key is not None:
        return service.store.drop(letter.key, letter.epoch)
    try:
        _remove_copy(service, message_of(service, letter))
    except NotFound:
        return 0
    return DeadLetters(service.store).drop([letter.id])


def _remove_copy(service: Service, message: DeadLetter) -> None:
    """Remove what the broker keeps: it is there for nobody else, and its queue would tell of it for a week."""
    if look := look_at(service.settings, service.store, service.broker):
        look.remove_copy(message)


def each(letters: Sequence[Letter], act: Callable[[Letter], int]) -> Iterator[tuple[Letter, int, str]]:
    """Replay or drop one by one, in the order in which they were given up, which is that of the broker's queue; give
    for each how many items that were, and what went wrong."""
    for letter in sorted(letters, key=lambda letter: letter.last_at):
        try:
            yield letter, act(letter), ""
        except (NotFound, NotReplayed) as exc:
            yield letter, 0, str(exc)

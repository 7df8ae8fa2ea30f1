"""Writing down the dead letters that only the broker knows: those that RabbitMQ made itself, and those that were given
up while the store was down."""

from __future__ import annotations

from msgspec import Struct

from chatbot.dashboard.pages import look_at
from chatbot.errors import ConfigurationError
from chatbot.middleware.dead_letters import MOST, DeadLetters
from chatbot.operations.times import count
from chatbot.service import Service


class Collected(Struct, frozen=True, kw_only=True):
    """How many dead letters were written down, how many of them nobody can read, and for how many there was no room."""

    collected: int
    unreadable: int
    left: int

    def words(self) -> str:
        """Return it as text."""
        lines = [f"{count(self.collected, 'dead letter')} written down."]
        if self.unreadable:
            lines.append(f"{count(self.unreadable, 'message')} cannot be read, so nobody could run them.")
        if self.left:
            lines.append(
                f"The journal is full, {count(self.left, 'dead letter')} left: replay or drop some, and repeat."
            )
        return "\n".join(lines)


def collect(service: Service) -> Collected:
    """Write down what the broker has and the journal has not. Nothing leaves the broker, so it can be repeated.

    Raises ConfigurationError, BrokerConnectionError, and StoreUnavailable.
    """
    look = look_at(service.settings, service.store, service.broker)
    if look is None:
        raise ConfigurationError("only what Redis and RabbitMQ keep can be read: this deployment's broker is neither")
    journal = DeadLetters(service.store)
    known = {letter.message_id for letter in journal.letters()}
    room, new, unreadable = MOST - len(known), [], 0
    for queue in sorted(service.broker.get_declared_queues()):
        buried = look.buried(queue)
        unreadable += buried.unreadable
        for letter in buried.letters:
            # The turn of a claim check is in the ledger, which has published it again.
            if letter.message_id not in known and "turn" not in letter.options:
                known.add(letter.message_id)
                new.append(letter)
    for letter in new[:room]:
        journal.write(letter)
    written = min(len(new), room)
    return Collected(collected=written, unreadable=unreadable, left=len(new) - written)

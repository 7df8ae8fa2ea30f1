"""Looking into RabbitMQ without taking a message: the server counts, and our journal of dead letters shows them.

To look at a waiting message is to take it, and each look counts as a delivery: too many make a dead letter of it, or
lose it. So those that wait are counted only. An operator who removes a dead letter means it: then it is taken.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pika.exceptions
from dramatiq.common import dq_name, q_name, xq_name
from dramatiq.errors import ConnectionClosed
from dramatiq.message import Message

from chatbot.brokers import rabbitmq_delays as delays
from chatbot.brokers.rabbitmq import RabbitmqBroker
from chatbot.dashboard.look import (
    PAGE,
    Buried,
    Counts,
    Kept,
    Seen,
    Tab,
    drop_letter,
    letter_of,
    read,
    told_by_broker,
)
from chatbot.dashboard.management import Management
from chatbot.middleware.dead_letters import DeadLetter, DeadLetters

#: Dead letters that are looked through for one that is to be removed.
MOST = 1_000
#: Who is in front of the wanted one is taken, too, which counts as a delivery: RabbitMQ 4 may drop it after 20. So one
#: that was taken so often is put at the end, as a copy.
TAKEN_ENOUGH = 10

_UNSEEN = (
    "RabbitMQ cannot show messages that wait without taking them, so they are counted only. "
    "The page of a conversation, and the command chatbot inspect, tell what waits and runs in it."
)
_LADDER = "Delayed messages of all queues wait here; RabbitMQ moves each of them to its queue at its time."
_LETTERS = "These are from the journal of dead letters. The newest 1,000 are in it, for 30 days."
_STRAYS = (
    " RabbitMQ has {count} more than the journal: those that it made itself, by a policy's limit of deliveries or time "
    "to live, and what nobody can read. The command chatbot dead collect writes down what can be read."
)
_WORKERS = "Workers are shown when CHATBOT_RABBITMQ_MANAGEMENT_URL leads to the management API."


class RabbitmqLook:
    """Counts with the management API, or without it by asking for each queue."""

    def __init__(self, broker: RabbitmqBroker, letters: DeadLetters, management_url: str) -> None:
        self._broker, self._letters = broker, letters
        parameters = broker.parameters[0] if isinstance(broker.parameters, list) else broker.parameters
        self._management = Management(management_url, parameters.virtual_host) if management_url else None

    def names(self) -> list[str]:
        """Return the declared queues, and where delayed messages wait."""
        return [*sorted(self._broker.get_declared_queues()), delays.PREFIX]

    def queues(self) -> list[Counts]:
        """Count messages; those that are delayed have a line of their own, as all queues share where they wait."""
        letters = Counter(q_name(letter.queue) for letter in self._letters.letters())
        counts = self._management.counts() if self._management else None
        if counts is None:
            counts = self._declared_counts()
        ladder = Counts(
            name=delays.PREFIX,
            delayed=sum(counts.get(name, 0) for name in delays.queues()),
            dead=counts.get(delays.LOST, 0),
        )
        names = sorted(self._broker.get_declared_queues())
        return [*(_counts(name, counts, letters[name]) for name in names), ladder]

    def workers(self) -> list[Seen]:
        """Return who consumes, if the management API says it."""
        return (self._management.workers() if self._management else None) or []

    def page(self, queue: str, tab: Tab, start: int) -> tuple[int | None, list[Kept]]:
        """Return dead letters, the latest first."""
        if tab != "failed":
            return None, []
        found = [letter for letter in self._letters.letters() if q_name(letter.queue) == queue]
        following = start + PAGE if len(found) > start + PAGE else None
        return following, [_kept(letter) for letter in found[start : start + PAGE]]

    def find(self, queue: str, tab: Tab, message_id: str) -> Kept | None:
        """Return a dead letter."""
        if tab != "failed":
            return None
        letter = letter_of(self._letters, message_id)
        return _kept(letter) if letter and q_name(letter.queue) == queue else None

    def remove(self, queue: str, tab: Tab, kept: Kept) -> bool:
        """Remove a dead letter, from the queue of dead letters and from the journal."""
        taken = self._take(queue, kept.id)
        return drop_letter(self._letters, kept.letter) or taken

    def buried(self, queue: str) -> Buried:
        """Return up to 1,000, those too that RabbitMQ itself made dead letters: by a limit of deliveries or a time to
        live that a policy gives."""
        letters: dict[str, DeadLetter] = {}
        unreadable = 0
        with self._opened() as channel:
            for method, properties, body in _gotten(channel, queue):
                message = read("", body).message
                if message is None:
                    unreadable += 1
                else:
                    error, at = _death(properties)
                    letters.setdefault(message.message_id, told_by_broker(message, queue, error, at))
                if _often_taken(properties):
                    self._put_at_the_end(channel, queue, method, body)
        return Buried(letters=list(letters.values()), unreadable=unreadable)

    def remove_copy(self, letter: DeadLetter) -> bool:
        """Remove the oldest: a copy that was published since may have failed, too."""
        return self._take(q_name(letter.queue), letter.message_id)

    def remark(self, queue: str | None, tab: Tab) -> str:
        """Say what cannot be shown, and where it is told."""
        if queue is None:
            return "" if self._management else _WORKERS
        if queue == delays.PREFIX:
            return _LADDER
        return _LETTERS + self._strays(queue) if tab == "failed" else _UNSEEN

    def hides(self, tab: Tab) -> bool:
        """Dead letters are in the journal; of the others only the numbers are known."""
        return tab != "failed"

    def _strays(self, queue: str) -> str:
        written, there = sum(q_name(letter.queue) == queue for letter in self._letters.letters()), 0
        with self._opened() as channel:
            there = channel.queue_declare(xq_name(queue), passive=True).method.message_count
        return _STRAYS.format(count=there - written) if there > written else ""

    def _declared_counts(self) -> dict[str, int]:
        names = [each for name in self._broker.get_declared_queues() for each in (name, dq_name(name), xq_name(name))]
        counts: dict[str, int] = {}
        with self._broker.nodes.channel("count") as channel:
            for name in [*names, delays.LOST, *delays.queues()]:
                channel = channel if channel.is_open else channel.connection.channel()
                try:
                    counts[name] = channel.queue_declare(name, passive=True).method.message_count
                except pika.exceptions.ChannelClosedByBroker as exc:
                    if exc.reply_code != 404:
                        raise
                    if name == delays.LOST:  # without its exit there is no ladder
                        break
        return counts

    def _take(self, queue: str, message_id: str) -> bool:
        """Take a message from the dead letters of a queue; the others go back to their places when the channel ends."""
        with self._opened() as channel:
            for method, properties, body in _gotten(channel, queue):
                message = read("", body).message
                if message is not None and message.message_id == message_id:
                    channel.basic_ack(method.delivery_tag)
                    channel.close()  # its answer says that the server has read what was sent before
                    return True
                if _often_taken(properties):
                    self._put_at_the_end(channel, queue, method, body)
        return False

    def _put_at_the_end(self, channel: Any, queue: str, method: Any, body: bytes) -> None:
        self._broker.bury(queue, body)
        channel.basic_ack(method.delivery_tag)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        """Lend a channel; whatever was taken on it goes back with it. A queue that is not there is an empty one."""
        try:
            with self._broker.nodes.channel("operator") as channel:
                yield channel
        except ConnectionClosed as exc:
            if getattr(exc.message, "reply_code", None) != 404:
                raise


def _counts(name: str, counts: dict[str, int], letters: int) -> Counts:
    waiting, delayed, dead = (counts.get(each, 0) for each in (name, dq_name(name), xq_name(name)))
    # Either may know more: a letter was not written while the store was down, or the server has lost its queue.
    return Counts(name=name, waiting=waiting, delayed=delayed, dead=max(dead, letters))


def _gotten(channel: Any, queue: str) -> Iterator[tuple[Any, Any, bytes]]:
    """Yield the dead letters of a queue, the oldest first."""
    for _ in range(MOST):
        method, properties, body = channel.basic_get(xq_name(queue))
        if method is None:
            return
        yield method, properties, body


def _death(properties: Any) -> tuple[str, int]:
    """Return why and when (ms) RabbitMQ made a message a dead letter, as the header x-death tells:
    https://www.rabbitmq.com/docs/dlx#effects."""
    deaths = (properties.headers or {}).get("x-death") or [{}]
    reason, at = deaths[0].get("reason"), deaths[0].get("time")
    when = at.replace(tzinfo=UTC).timestamp() if isinstance(at, datetime) else time.time()
    # What a worker rejects looks the same, whatever it was that it could not do.
    return "unknown" if reason in (None, "rejected") else f"RabbitMQ: {reason}", round(when * 1000)


def _often_taken(properties: Any) -> bool:
    return int((properties.headers or {}).get("x-delivery-count", 0)) >= TAKEN_ENOUGH


def _kept(letter: DeadLetter) -> Kept:
    message: Message[Any] = Message(
        queue_name=letter.queue,
        actor_name=letter.actor,
        args=tuple(letter.args),
        kwargs=letter.kwargs,
        options=dict(letter.options),
        message_id=letter.message_id,
        message_timestamp=letter.first_at,
    )
    return Kept(id=letter.message_id, message=message, letter=letter)

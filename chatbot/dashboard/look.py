"""What an operator may see of a broker and do to it, whatever broker it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from dramatiq.message import Message

from chatbot.errors import ChatbotError
from chatbot.middleware.dead_letters import OF_A_DELIVERY, DeadLetter, DeadLetters

if TYPE_CHECKING:
    from chatbot.brokers.admission import Admission

Tab = Literal["standard", "delayed", "failed"]
TABS: tuple[Tab, ...] = get_args(Tab)
#: Messages on one page.
PAGE = 100


class Gone(ChatbotError):
    """The message is not there any more: it ran, expired, or somebody else was faster."""


class Unreadable(ChatbotError):
    """Nobody can read this message, so nobody could run it: delete it, once you know who sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many messages of a queue wait or run, are delayed, and were given up."""

    name: str
    waiting: int = 0
    delayed: int = 0
    dead: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A worker process, when it was last seen (ms since 1970), and how many messages it holds."""

    name: str
    at: int
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A message in a queue. `id` is the broker's; `message` is None if `body` cannot be read; `letter` is what the
    journal of dead letters knows of it."""

    id: str
    message: Message[Any] | None
    body: bytes = b""
    letter: DeadLetter | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Buried:
    """The dead letters of a queue as a broker keeps them, and how many of them nobody can read."""

    letters: Sequence[DeadLetter]
    unreadable: int = 0


class Look(Protocol):
    """One broker. Everything raises dramatiq's BrokerConnectionError, or StoreUnavailable."""

    def names(self) -> list[str]:
        """Return the queues that there are pages of."""

    def queues(self) -> list[Counts]:
        """Count."""

    def workers(self) -> list[Seen]:
        """Return who works."""

    def page(self, queue: str, tab: Tab, start: int) -> tuple[int | None, list[Kept]]:
        """Return where the next page starts, if there is one, and the messages of this one. Takes none of them."""

    def find(self, queue: str, tab: Tab, message_id: str) -> Kept | None:
        """Return one message."""

    def remove(self, queue: str, tab: Tab, kept: Kept) -> bool:
        """Take a message out for good; say whether it was there."""

    def buried(self, queue: str) -> Buried:
        """Return the dead letters that the broker itself keeps of a queue, the oldest first. On RabbitMQ that is a
        delivery of each of them: it is for an operator who asks for it."""

    def remove_copy(self, letter: DeadLetter) -> bool:
        """Remove what the broker keeps of a dead letter of the journal; say whether it was there."""

    def remark(self, queue: str | None, tab: Tab) -> str:
        """Say what one should know of this page; None is the page of all queues."""

    def hides(self, tab: Tab) -> bool:
        """Say whether messages of a tab cannot be shown, however many there are."""


def read(message_id: str, body: bytes) -> Kept:
    """Return a message as it was found, readable or not."""
    try:
        message = Message.decode(body)
        str(message)  # whatever is no message may still be JSON, with fields of other types
        dict(message.options), dict(message.kwargs), message.message_timestamp + 0
    except Exception:  # there is no end to what bytes may be
        return Kept(id=message_id, message=None, body=body)
    return Kept(id=message_id, message=message, body=body)


def told_by_broker(message: Message[Any], queue: str, error: str, at: int) -> DeadLetter:
    """Return a dead letter as far as a broker knows it: without the worker, and where it broke."""
    retries = message.options.get("retries")
    return DeadLetter(
        message_id=message.message_id,
        actor=message.actor_name,
        queue=queue,
        args=list(message.args),
        kwargs=dict(message.kwargs),
        error=error,
        traceback="",
        attempts=max(1, retries) if isinstance(retries, int) else 1,
        worker="unknown",
        first_at=message.message_timestamp,
        last_at=at,
        options={name: value for name, value in message.options.items() if name not in OF_A_DELIVERY},
    )


def requeue(broker: Admission, look: Look, queue: str, message_id: str) -> None:
    """Let a message that was given up run again: a copy is published and confirmed, then the original is removed. What
    dies in between leaves both. Raises Gone and Unreadable."""
    kept = look.find(queue, "failed", message_id)
    if kept is None:
        raise Gone
    if kept.message is None:
        raise Unreadable
    broker.enqueue(_again(kept.message, queue))
    look.remove(queue, "failed", kept)


def delete(look: Look, queue: str, tab: Tab, message_id: str) -> None:
    """Delete a message. Raises Gone."""
    kept = look.find(queue, tab, message_id)
    if kept is None or not look.remove(queue, tab, kept):
        raise Gone


def _again(message: Message[Any], queue: str) -> Message[Any]:
    # Marked as admitted: an operator's replay is no duplicate of anything.
    kept = {name: value for name, value in message.options.items() if name not in OF_A_DELIVERY}
    return Message(
        queue_name=queue,
        actor_name=message.actor_name,
        args=message.args,
        kwargs=message.kwargs,
        options={**kept, "outcome": "enqueued"},
        message_id=message.message_id,
    )


def letter_of(letters: DeadLetters, message_id: str) -> DeadLetter | None:
    """Return what the journal of dead letters says of a message."""
    return next((letter for letter in letters.letters() if letter.message_id == message_id), None)


def drop_letter(letters: DeadLetters, seen: DeadLetter | None) -> bool:
    """Take out a letter; say whether it was there. One that was written meanwhile stays: the copy has failed, too."""
    if seen is None:
        return False
    now = letter_of(letters, seen.message_id)
    return now is not None and now.last_at == seen.last_at and letters.drop([seen.message_id]) > 0

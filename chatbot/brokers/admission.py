"""What every broker of ours adds to Dramatiq's: guards are asked about a whole batch before anything is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dramatiq.errors import BrokerError

from chatbot.bridge import apart
from chatbot.brokers.signals import Signals
from chatbot.middleware.guard import admit, guards_of

if TYPE_CHECKING:
    from dramatiq.message import Message


class Publication(NamedTuple):
    """What became of a batch: a first part is published, and the `doubtful` messages after it met the error."""

    published: list[Message[Any]]
    doubtful: int = 0
    error: BaseException | None = None


class Admission(Signals):
    """Mixed in before a Dramatiq broker class."""

    #: Tells the guards that they need not look at `before_enqueue`.
    admits = True
    #: A consumer that is asked to settle a message marked `unacknowledged` puts it back instead.
    takes_back = True

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Publish a message unless a guard absorbs it; `options["outcome"]` of what is returned says which.

        The outcome is enqueued, absorbed, duplicate or overflow; of an edit also amended, withdrawn or late. Raises
        what the guards raise, and dramatiq.ConnectionClosed if the message may not have been published.
        """
        (returned,) = self._publish(admit(self, [message]), delay)
        return returned

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        """Publish a batch, like `enqueue`; the guards are asked about all of it at once.

        An error ends the batch: what comes before the message that failed is published, what comes after it is not.
        """
        return self._publish(admit(self, messages))

    def ping(self) -> None:
        """Raise dramatiq.BrokerConnectionError unless the broker answers within seconds."""
        raise NotImplementedError

    def _publish(self, messages: Sequence[Message[Any]], delay: int | None = None) -> list[Message[Any]]:
        returned = list(messages)
        open_ = [i for i, message in enumerate(messages) if message.options["outcome"] == "enqueued"]
        batch = [messages[i] for i in open_]
        publication = apart(self._publish_all, batch, delay) if batch else Publication([])
        for i, message in zip(open_, publication.published, strict=False):
            returned[i] = message
        if publication.error is not None:
            rest = batch[len(publication.published) :]
            self._abandon(rest[: publication.doubtful], publication.error)
            self._abandon(
                rest[publication.doubtful :], BrokerError("an earlier message of the batch was not published")
            )
            raise publication.error
        return returned

    def _publish_all(self, messages: Sequence[Message[Any]], delay: int | None) -> Publication:
        """Publish admitted messages; a broker that can do it in one round trip says how."""
        published: list[Message[Any]] = []
        for message in messages:
            try:
                published.append(super().enqueue(message, delay=delay))
            except BaseException as exc:
                return Publication(published, 1, exc)
        return Publication(published)

    def _abandon(self, messages: Sequence[Message[Any]], error: BaseException) -> None:
        for message in messages:
            for guard in guards_of(self):
                guard.abandon(message, error)

"""What every broker of ours adds to Dramatiq's: guards are asked about a whole batch before anything is published."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chatbot.middleware.guard import admit, guards_of

if TYPE_CHECKING:
    from dramatiq import Broker as _Base
    from dramatiq.message import Message
else:
    _Base = object


class Admission(_Base):
    """Mixed in before a Dramatiq broker class."""

    #: Tells the guards that they need not look at `before_enqueue`.
    admits = True

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Publish a message unless a guard absorbs it; `options["outcome"]` of what is returned says which.

        The outcome is enqueued, absorbed, duplicate or overflow. Raises what the guards raise, and
        dramatiq.ConnectionClosed if the message may not have been published.
        """
        (admitted,) = admit(self, [message])
        return self._publish(admitted, delay) if admitted.options["outcome"] == "enqueued" else admitted

    def enqueue_many(self, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        """Publish a batch, like `enqueue`; the guards are asked about all of it at once."""
        return [m if m.options["outcome"] != "enqueued" else self._publish(m) for m in admit(self, messages)]

    def ping(self) -> None:
        """Raise dramatiq.BrokerConnectionError unless the broker answers."""
        raise NotImplementedError

    def _publish(self, message: Message[Any], delay: int | None = None) -> Message[Any]:
        try:
            return super().enqueue(message, delay=delay)
        except BaseException as exc:
            for guard in guards_of(self):
                guard.abandon(message, exc)
            raise

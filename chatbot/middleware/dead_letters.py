"""The journal of dead letters: what a broker's own dead-letter queue does not tell.

A broker keeps the original bytes; here are the error, the traceback, the attempts and the worker, the same on every
broker. Best effort: the broker's queue holds the message itself. Turns are not here, the ledger holds theirs.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
import traceback
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from dramatiq.middleware import Middleware
from msgspec import Struct

from chatbot.decoding import decoder
from chatbot.errors import StoreUnavailable
from chatbot.middleware.policies import Duration, ms
from chatbot.stores.base import Store

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

_SUBJECT = "dead letters"
#: Dead letters that are kept.
MOST = 1_000
#: Options that a delivery leaves in its message.
OF_A_DELIVERY = {
    "retries", "waits", "redelivered", "traceback", "requeue_timestamp", "eta", "outcome", "redis_message_id",
}  # fmt: skip
#: Of a traceback, so many frames at its end are kept.
_FRAMES = -30


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One message that was given up. Times are in ms since 1970."""

    message_id: str
    actor: str
    queue: str
    args: list[Any]
    kwargs: dict[str, Any]
    error: str
    traceback: str
    attempts: int
    worker: str
    first_at: int
    last_at: int
    #: What the sender asked for, such as a pipe target; what a delivery adds is left out.
    options: dict[str, Any] = {}


class DeadLetters(Middleware):
    """Writes down every message that is rejected: the newest `most`, none older than `ttl`."""

    def __init__(self, store: Store, *, most: int = MOST, ttl: Duration = timedelta(days=30)) -> None:
        self._store, self._most, self._ttl = store, most, ms(ttl)

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        try:
            self.write(_letter(message))
        except StoreUnavailable as exc:
            logger.warning("the dead letter %s is in the broker's queue only: %s", message.message_id, exc)

    def write(self, letter: DeadLetter) -> None:
        """Write down a dead letter, in the place of an older one of the same message. Raises StoreUnavailable."""
        # Not msgspec: an argument may hold half of a surrogate pair, which is no UTF-8 but can be escaped.
        told = json.dumps(msgspec.to_builtins(letter, enc_hook=repr)).encode()
        self._store.remember(_SUBJECT, letter.message_id, told, self._most, self._ttl)

    def letters(self) -> list[DeadLetter]:
        """Return the dead letters, newest first. Raises StoreUnavailable."""
        oldest = time.time() * 1000 - self._ttl
        decoder(DeadLetter)
        found = (msgspec.convert(json.loads(raw), DeadLetter) for raw in reversed(self._store.recall(_SUBJECT)))
        return [letter for letter in found if letter.last_at >= oldest]

    def drop(self, message_ids: Sequence[str]) -> int:
        """Drop these dead letters; return how many there were. Raises StoreUnavailable."""
        return self._store.omit(_SUBJECT, message_ids) if message_ids else 0


def _letter(message: MessageProxy) -> DeadLetter:
    error = message._exception
    return DeadLetter(
        message_id=message.message_id,
        actor=message.actor_name,
        queue=message.queue_name,
        args=list(message.args),
        kwargs=dict(message.kwargs),
        error=repr(error) if error else "unknown",
        traceback="".join(traceback.format_exception(error, limit=_FRAMES)) if error else "",
        # Retries counts what it gives up, too; what never ran was rejected at its first delivery.
        attempts=max(1, message.options.get("retries", 0)),
        worker=f"{socket.gethostname()}:{os.getpid()}",
        first_at=message.message_timestamp,
        last_at=round(time.time() * 1000),
        options={name: value for name, value in message.options.items() if name not in OF_A_DELIVERY},
    )

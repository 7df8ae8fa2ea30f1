"""Waiting for a store or a broker that is down, for as long as the worker runs; when it stops, the message stays."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from dramatiq.errors import BrokerConnectionError
from dramatiq.middleware import Middleware, SkipMessage

from chatbot.errors import GuardError, StoreUnavailable

if TYPE_CHECKING:
    from dramatiq import Broker, Worker
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Patience:
    """Repeats a verb until it answers. A store's verbs may be sent twice, so an unknown outcome is no obstacle."""

    def __init__(self) -> None:
        # No Event: an interrupt in its `wait` could leave it locked for ever.
        self._stopping = False

    def begin(self) -> None:
        """The worker starts."""
        self._stopping = False

    def end(self) -> None:
        """The worker stops: whoever waits gives up."""
        self._stopping = True

    @property
    def is_over(self) -> bool:
        return self._stopping

    def until_answered(self, verb: Callable[[], T], down: type[Exception] = StoreUnavailable) -> T:
        """Return the verb's answer. Raises `down`, which says that there is none, if the worker stops before."""
        waits = pauses()
        while True:
            try:
                return verb()
            except down as exc:
                if self._stopping:
                    raise
                logger.warning("waiting: %s", exc)
            time.sleep(next(waits))


class PatientMiddleware(Middleware):
    """Middleware whose waits end with the worker, and which can leave a message to the broker."""

    def __init__(self) -> None:
        super().__init__()
        self.patience = Patience()

    # Before the worker's threads are there: the first messages must not meet the end of an earlier worker.
    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self.patience.begin()

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.patience.end()

    # Consumers of ours take such a message back when they are asked to settle it; of others, only an error stops them.
    def before_ack(self, broker: Broker, message: MessageProxy) -> None:
        if not getattr(broker, "takes_back", False) and getattr(message, "unacknowledged", False):
            raise GuardError(f"{message.message_id} is not acknowledged: the broker keeps it for another worker")

    before_nack = before_ack


def keep(message: MessageProxy) -> None:
    """Let a delivery be neither acknowledged nor dead-lettered: the worker stops, and the broker takes it back."""
    message.unacknowledged = True  # type: ignore[attr-defined]


def skip(message: MessageProxy, why: str) -> NoReturn:
    """End a delivery that did not run, without storing a result under an id that copies share."""
    message.options["store_results"] = False
    raise SkipMessage(why)


def come_back(broker: Broker, message: MessageProxy, delay: int, patience: Patience, **options: Any) -> NoReturn:
    """End a delivery once a copy of it is enqueued, to be delivered after `delay` ms; no retry is spent."""
    leave_copy(broker, message, delay, patience, **options)
    skip(message, "it comes back later")


def leave_copy(broker: Broker, message: MessageProxy, delay: int, patience: Patience, **options: Any) -> None:
    """Enqueue a copy of a message for a delivery after `delay` ms; if the worker stops before, the message is kept."""
    copy = message._message.copy(options={"outcome": "enqueued", **options})
    try:
        patience.until_answered(lambda: broker.enqueue(copy, delay=delay), BrokerConnectionError)
    except BrokerConnectionError:
        keep(message)


def pauses() -> Iterator[float]:
    """Yield growing pauses in s, with jitter: what comes back is not met by everybody at once."""
    pause = 0.05
    while True:
        yield pause * random.uniform(0.5, 1)
        pause = min(pause * 2, 1.0)

"""The pump: hands due windows over to the broker, and whatever the broker lost once more.

Any number of pumps run, one in every worker process; a turn is taken by one of them. A pump that dies between taking
and publishing costs its turns one publish lease of delay.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dramatiq.message import Message

from chatbot.errors import StoreUnavailable
from chatbot.middleware.observer import NOBODY, Observer, together
from chatbot.stores.base import Store
from chatbot.stores.values import ClaimCheck

if TYPE_CHECKING:
    from dramatiq import Broker

logger = logging.getLogger(__name__)

#: Turns in one take: a script blocks the server, and 200 windows are about 4 ms.
LIMIT = 200
#: ms within which a pump that took a turn hands it over.
PUBLISH_LEASE = 5_000
#: ms after its confirmed publication at which a turn that nobody began may be lost.
AGAIN = 30_000
#: ms. A sleep is no longer than this, so that a wake-up that got lost costs little.
LONGEST = 4_000

_NAMESPACE = uuid.UUID("6f1ad9a2-1a0e-5a3c-9d0b-2f6b1c7f1d1e")


class Pump:
    """A thread that publishes what is due and sleeps until the next due time."""

    def __init__(self, broker: Broker, store: Store, *, again: int = AGAIN, observer: Observer = NOBODY) -> None:
        self._broker, self._store, self._again, self._observer = broker, store, again, together(observer)
        self._stopping = threading.Event()
        self._sleeping = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="pump", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after the batch in hand. A pump that sleeps has nothing in hand, so nobody waits for it."""
        self._stopping.set()
        while self._thread.is_alive() and not self._sleeping.is_set():
            self._thread.join(0.05)

    def _loop(self) -> None:
        failures, rested = 0, False
        while not self._stopping.is_set():
            try:
                sleep = self.step()
                failures, rested = 0, False
            except Exception as exc:
                failures += 1
                if not isinstance(exc, StoreUnavailable):
                    self._observer.broker_error()
                logger.warning("the pump could not hand over what is due: %s", exc, exc_info=not _expected(exc))
                self._stopping.wait(min(0.1 * 2**failures, 3.0) * random.uniform(0.5, 1))
                continue
            if sleep and not self._stopping.is_set():
                self._rest(sleep)
                rested = True
        if rested:
            self._pass_on()

    def _rest(self, sleep: float) -> None:
        self._sleeping.set()
        try:
            self._store.sleep(sleep)
        except Exception as exc:
            if not self._stopping.is_set():  # else it slept on a store that was closed
                logger.warning("the pump cannot sleep: %s", exc, exc_info=not _expected(exc))
            self._stopping.wait(0.2)
        finally:
            self._sleeping.clear()

    def _pass_on(self) -> None:
        """What ended the last sleep may have been the only wake-up: without it, the other pumps would sleep on."""
        try:
            self._store.wake()
        except Exception as exc:
            logger.debug("the pump could not wake another one: %s", exc)

    def step(self) -> float:
        """Hand over what is due, once; return for how many ms there is nothing to do."""
        asked = time.monotonic()
        due = self._store.take_due(LIMIT, PUBLISH_LEASE, self._again)
        if due.checks:
            published = self._publish(due.checks)
            for check in published:  # before a worker tells what it does with it
                self._observer.published(check.key, check.epoch, check.stamp)
            if published:
                self._store.handed_over(published, self._again)
        look = min(LONGEST if due.next_look is None else due.next_look, LONGEST)
        # While these were handed over the next ones came nearer.
        return max(0.0, look - (time.monotonic() - asked) * 1000)

    def _publish(self, checks: Sequence[ClaimCheck]) -> list[ClaimCheck]:
        known = [(check, message) for check in checks if (message := self._message(check))]
        for check, _ in known:
            self._observer.taken(check.key, check.epoch, check.stamp)
        publish_all(self._broker, [message for _, message in known])
        return [check for check, _ in known]

    def _message(self, check: ClaimCheck) -> Message[Any] | None:
        mailbox = check.key.partition("/")[0]
        actor = self._broker.actors.get(mailbox)
        if actor is None or actor.options.get("debounced") is None:
            logger.error("no debounced actor %r is declared here: %s waits for a process that has it", mailbox, check)
            return None
        return Message(
            queue_name=actor.queue_name,
            actor_name=actor.actor_name,
            args=(),
            kwargs={},
            options={"turn": [check.key, check.epoch, check.stamp], "outcome": "enqueued"},
            # Equal in every publication of a turn, so that results of every copy are one.
            message_id=message_id(check.key, check.epoch),
        )


def message_id(key: str, epoch: int) -> str:
    """Return the message id of a turn's claim checks."""
    return str(uuid.uuid5(_NAMESPACE, f"{key}:{epoch}"))


def publish_all(broker: Broker, messages: Sequence[Message[Any]]) -> None:
    """Publish as one batch where the broker can, else one by one."""
    enqueue_many = getattr(broker, "enqueue_many", None)
    if enqueue_many is not None:
        enqueue_many(messages)
        return
    for message in messages:
        broker.enqueue(message)


def _expected(error: Exception) -> bool:
    from dramatiq.errors import BrokerConnectionError

    return isinstance(error, StoreUnavailable | BrokerConnectionError | OSError)

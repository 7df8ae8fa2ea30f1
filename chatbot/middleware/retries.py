"""Retries that know what the guards have already decided."""

from __future__ import annotations

import logging
import math
import random
from typing import TYPE_CHECKING, Any

from dramatiq.errors import BrokerConnectionError, Retry
from dramatiq.middleware import Interrupt
from dramatiq.middleware import Retries as StockRetries

from chatbot.errors import IdempotencyKeyReused, NotComposable, Permanent, PolicyInvalid
from chatbot.middleware.patience import Patience, PatientMiddleware, keep
from chatbot.stores.values import DAY

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

logger = logging.getLogger(__name__)

#: Repeating a call that ends like this cannot help.
HOPELESS = (Permanent, PolicyInvalid, NotComposable, IdempotencyKeyReused)
#: ms. No retry is further away, whatever an error asks for: nothing open may outlive its time to live.
LONGEST = 7 * DAY


class Retries(StockRetries, PatientMiddleware):
    """Dramatiq's Retries, but a turn is left to the ledger, a Permanent error is dead-lettered at once, an error's
    `retry_after` (s) is respected, and no message is acknowledged before its retry is in the queue."""

    def __init__(self, **options: Any) -> None:
        PatientMiddleware.__init__(self)
        StockRetries.__init__(self, **options)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if exception is None or "turn" in message.options:
            return
        if isinstance(exception, HOPELESS):
            message.fail()
            return
        stock: Any = super()
        try:
            patient = _Patient(broker, self.patience, asked_delay(exception), self._least(broker, message))
            stock.after_process_message(patient, message, exception=exception)
        except (BrokerConnectionError, Interrupt):
            if not message.failed:
                keep(message)
        except Exception:
            # Swallowed by Dramatiq, this would acknowledge the message.
            logger.exception("%s cannot be retried", message.message_id)
            message.fail()

    def _least(self, broker: Broker, message: MessageProxy) -> int:
        options = {"min_backoff": self.min_backoff, **broker.get_actor(message.actor_name).options, **message.options}
        return options["min_backoff"]  # type: ignore[no-any-return]


class _Patient:
    """A broker for Retries, which waits for the real one while that is down, keeps the delay that was asked for, and
    else jitters a delay between `least` (ms) and Dramatiq's."""

    def __init__(self, broker: Broker, patience: Patience, asked: int | None, least: int) -> None:
        self._broker, self._patience, self._asked, self._least = broker, patience, asked, least

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def enqueue(self, message: Message[Any], *, delay: int) -> Message[Any]:
        # Dramatiq's own jitter is the upper half at most: what failed together would come back together.
        jittered = round(random.uniform(min(self._least, delay), delay))
        delay = jittered if self._asked is None else self._asked
        return self._patience.until_answered(lambda: self._broker.enqueue(message, delay=delay), BrokerConnectionError)


def asked_delay(error: BaseException) -> int | None:
    """Return for how many ms an error asks to wait: its `retry_after` (s), or a Retry's own delay (ms)."""
    after = getattr(error, "retry_after", None)
    delay = after * 1000 if isinstance(after, int | float) else error.delay if isinstance(error, Retry) else None
    return None if delay is None or math.isnan(delay) else round(max(0, min(delay, LONGEST)))

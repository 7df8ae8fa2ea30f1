"""Retries that know what the guards have already decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dramatiq.errors import Retry
from dramatiq.middleware import Retries as StockRetries

from chatbot.errors import IdempotencyKeyReused, Permanent

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy


class Retries(StockRetries):
    """Dramatiq's Retries, but a turn is left to the ledger, a Permanent error is dead-lettered at once, and an error's
    `retry_after` (s) is respected."""

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        if exception is None or getattr(message, "settlement", None):
            return
        if isinstance(exception, Permanent | IdempotencyKeyReused):
            message.fail()
            return
        asked = getattr(exception, "retry_after", None)
        if asked is not None:
            exception = Retry(str(exception), delay=round(asked * 1000))
        stock: Any = super()
        stock.after_process_message(broker, message, result=result, exception=exception)

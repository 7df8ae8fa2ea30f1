"""Running a call under a standalone record: claim, run, settle. The first to settle is the one whose result counts."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from dramatiq.middleware import SkipMessage

from chatbot.errors import IdempotencyKeyReused, StoreUnavailable
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.patience import Patience
from chatbot.middleware.policies import OnStoreError
from chatbot.middleware.steps import decoded, encoded, scope
from chatbot.stores.base import Claim, Lease, Store

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Where a call is remembered, for how long (`ttl`, ms), its result for how long, and under which lease it runs."""

    key: str
    fingerprint: str
    ttl: int
    value_ttl: int
    lease: int


class RecordRunner:
    """Runs deliveries so that at most one of a record's calls completes."""

    def __init__(self, store: Store, heartbeat: Heartbeat, patience: Patience) -> None:
        self._store, self._heartbeat, self._patience = store, heartbeat, patience

    def run(
        self,
        broker: Broker,
        record: Record,
        call: Callable[[], Any],
        message: MessageProxy,
        *,
        on_store_error: OnStoreError = "fail",
    ) -> Any:
        """Run `call`, or return what an earlier one returned, or come back when the one that runs now must have ended.

        While the store is down nothing runs, unless `on_store_error` says to proceed unguarded. Raises
        IdempotencyKeyReused if the key stands for another payload.
        """
        owner = f"{message.message_id}/{uuid.uuid4().hex}"
        try:
            since, claim = self._claim(record, owner, patient=on_store_error == "fail")
        except StoreUnavailable:
            if on_store_error == "fail":
                raise
            logger.warning("the store is down: %s runs unguarded", message.message_id)
            return call()
        match claim.verdict:
            case "done":
                return decoded(claim.value)
            case "busy":
                self._later(broker, message, claim.remaining)
            case "mismatch":
                # Stock Retries, too, gives up at once on what is named here.
                message.options["throws"] = IdempotencyKeyReused
                raise IdempotencyKeyReused(f"the key of {message.message_id} was used before with another payload")
        lease = Lease("claim", record.key, owner)
        with self._heartbeat.holding(lease, record.lease, since) as held, scope(record.key, held):
            result = self._call(record, owner, call)
            if not self._settle(record, owner, result):
                self._later(broker, message, 0)  # taken over: the answer is the other one's
        return result

    def _claim(self, record: Record, owner: str, *, patient: bool) -> tuple[float, Claim]:
        def claim() -> tuple[float, Claim]:
            return time.monotonic(), self._store.claim(record.key, owner, record.lease, record.fingerprint)

        return self._patience.until_answered(claim) if patient else claim()

    def _call(self, record: Record, owner: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except BaseException:
            # Before the retry is enqueued, so that it does not meet its own claim; if this fails, the lease lapses.
            with suppress(StoreUnavailable):
                self._store.release(record.key, owner)
            raise

    def _settle(self, record: Record, owner: str, result: Any) -> bool:
        value = encoded(result)
        settled = self._patience.until_answered(
            lambda: self._store.settle(record.key, owner, record.fingerprint, value, record.ttl, record.value_ttl)
        )
        return settled is not None

    def _later(self, broker: Broker, message: MessageProxy, remaining: int) -> NoReturn:
        """Enqueue a copy that meets the outcome, then acknowledge this one; no retry is spent."""
        delay = max(remaining, 50) + random.randint(0, 100)
        broker.enqueue(message._message.copy(options={"outcome": "enqueued"}), delay=delay)
        message.options["store_results"] = False
        raise SkipMessage("a duplicate runs: this one waits for its outcome")

"""Running a call under a standalone record: claim, run, settle. The first to settle is the one whose result counts."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from dramatiq.middleware import Interrupt

from chatbot.errors import IdempotencyKeyReused, StoreUnavailable
from chatbot.middleware.ahead import Ahead
from chatbot.middleware.claims import Claimed, Record, claim, redelivered
from chatbot.middleware.leases import Heartbeat, Held
from chatbot.middleware.observer import NOBODY, Decision, Guarantee, Judged, Observer
from chatbot.middleware.patience import Patience, come_back, keep, skip
from chatbot.middleware.steps import decoded, encoded, scope
from chatbot.stores.base import Lease, Store, grace

if TYPE_CHECKING:
    from dramatiq import Broker
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

#: ms. A duplicate asks for the first time after this whether the call that runs has ended.
SOONEST = 50


class RecordRunner:
    """Runs deliveries so that at most one of a record's calls completes."""

    def __init__(
        self,
        store: Store,
        heartbeat: Heartbeat,
        patience: Patience,
        observer: Observer = NOBODY,
        guarantee: Guarantee = "idempotent",
        ahead: Ahead | None = None,
    ) -> None:
        self._store, self._heartbeat, self._patience = store, heartbeat, patience
        self._claimed = ahead.claim if ahead else partial(claim, store)
        self._observer, self._guarantee = observer, guarantee

    def run(
        self,
        broker: Broker,
        record: Record,
        call: Callable[[], Any],
        message: MessageProxy,
    ) -> Any:
        """Run `call`, or return what an earlier one returned, or come back when the one that runs now must have ended.

        While the store is down nothing runs, unless its `on_store_error` says to proceed unguarded. Raises
        IdempotencyKeyReused if the key stands for another payload.
        """
        patient = record.on_store_error == "fail"
        try:
            owner, since, found = self._claim(record, message, patient)
        except StoreUnavailable:
            if patient:  # the worker stops
                keep(message)
                skip(message, "the store did not answer before the worker stopped")
            logger.warning("the store is down: %s runs unguarded", message.message_id)
            return call()
        match found.verdict:
            case "done":
                self._decided(record, message, "duplicate", found.owner)
                return decoded(found.value)
            case "busy":
                self._decided(record, message, "waiting", found.owner)
                self._later(broker, message, found.remaining)
            case "mismatch":
                self._decided(record, message, "reused")
                raise IdempotencyKeyReused(f"the key of {message.message_id} was used before with another payload")
        lease, sure = Lease("claim", record.key, owner), grace(record.lease)
        holding = self._heartbeat.holding(lease, record.lease, since, sure)
        with holding as held, scope(record.key, held, record.ttl):
            result, value = self._call(record, owner, call, held)
            held.settling = True
            if not self._settled(record, owner, value, patient):
                self._decided(record, message, "overtaken")
                self._later(broker, message, 0)  # taken over: the answer is the other one's
        self._decided(record, message, "completed")
        return result

    def _decided(self, record: Record, message: MessageProxy, outcome: Decision, owner: str = "") -> None:
        original = owner.partition("/")[0]
        judged = Judged(message.actor_name, message.message_id, record.key, "", outcome, self._guarantee, original)
        self._observer.decided([judged])

    def _claim(self, record: Record, message: MessageProxy, patient: bool) -> Claimed:
        def attempt() -> Claimed:
            try:
                return self._claimed(record, message)
            except StoreUnavailable:
                self._observer.store_error(message.actor_name, "waited" if patient else "proceeded")
                raise

        return self._patience.until_answered(attempt) if patient else attempt()

    def _call(self, record: Record, owner: str, call: Callable[[], Any], held: Held) -> tuple[Any, bytes]:
        try:
            result = call()
            return result, encoded(result)
        except BaseException:
            held.settling = True
            # Before the retry is enqueued, so that it does not meet its own claim; if this fails, the lease lapses.
            with suppress(StoreUnavailable):
                self._store.release(record.key, owner)
            raise

    def _settled(self, record: Record, owner: str, value: bytes, patient: bool) -> bool:
        """Record a result; say whether it is the one that counts. A run is not repeated because this could not be."""

        def settle() -> bytes | None:
            return self._store.settle(record.key, owner, record.fingerprint, value, record.ttl, record.value_ttl)

        while True:
            try:
                return (self._patience.until_answered(settle) if patient else settle()) is not None
            except StoreUnavailable as exc:
                logger.warning("%s is done, but no duplicate will know: %s", owner, exc)
                return True
            except Interrupt:
                logger.warning("%s is done, so it is too late to interrupt it", owner)

    def _later(self, broker: Broker, message: MessageProxy, remaining: int) -> NoReturn:
        """Come back for the outcome of the one that runs: soon at first, and at the latest when it must have renewed
        its lease or lost it."""
        waits = message.options.get("waits", 0)
        delay = min(max(remaining, SOONEST), SOONEST * 2**waits) + random.randint(0, SOONEST)
        # The broker tells only one delivery that the one before it was given up: the copy must know it, too.
        known = {"redelivered": True} if redelivered(message) else {}
        come_back(broker, message, delay, self._patience, waits=min(waits + 1, 16), **known)

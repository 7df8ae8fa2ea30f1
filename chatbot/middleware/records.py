"""Running a call under a standalone record: claim, run, settle. The first to settle is the one whose result counts."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from dramatiq.middleware import Interrupt

from chatbot.errors import IdempotencyKeyReused, StoreUnavailable
from chatbot.middleware.ahead import Ahead
from chatbot.middleware.claims import Claimed, Record, claim, redelivered
from chatbot.middleware.leases import Heartbeat, Held
from chatbot.middleware.observer import NOBODY, Decision, Guarantee, Judged, Observer
from chatbot.middleware.patience import Patience, keep, leave_copy, skip
from chatbot.middleware.settler import Answer, Settlement, Settler
from chatbot.middleware.steps import decoded, encoded, scope
from chatbot.stores.base import Store
from chatbot.stores.values import Lease, Settling, grace

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
        settler: Settler | None = None,
    ) -> None:
        self._store, self._heartbeat, self._patience = store, heartbeat, patience
        self._claimed = ahead.claim if ahead else partial(claim, store)
        self._observer, self._guarantee, self._settler = observer, guarantee, settler

    def run(
        self,
        broker: Broker,
        record: Record,
        call: Callable[[], Any],
        message: MessageProxy,
        *,
        may_wait: bool = False,
    ) -> Any:
        """Run `call`, or return what an earlier one returned, or come back when the one that runs now must have ended.

        If its settlement `may_wait`, that is made when the message is acknowledged, not before this returns.

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
                self._leave(broker, message, found.remaining)
                skip(message, "it comes back later")
            case "mismatch":
                self._decided(record, message, "reused")
                raise IdempotencyKeyReused(f"the key of {message.message_id} was used before with another payload")
        lease = Lease("claim", record.key, owner)
        with self._heartbeat.holding(lease, record.lease, since, grace(record.lease)) as held:
            result, settling = self._call(record, owner, call, held)
            ended = partial(self._ended, broker, record, message, held)
            behind = may_wait and self._settler is not None
            counts = behind or ended(self._settled(settling, patient))
            if behind and self._settler is not None:
                # Inside the block: an interrupt on the way out of it could leave a lease that nobody settles.
                self._settler.take(message, Settlement(settling, patient, ended))
        if not counts:
            skip(message, "it comes back later")
        if behind:
            self._heartbeat.hold(held)  # until it is settled: only what is sure to be may hold it
        return result

    def _ended(self, broker: Broker, record: Record, message: MessageProxy, held: Held, answer: Answer) -> bool:
        """Note what became of a settlement; return False if the answer to this call is another run's."""
        self._heartbeat.let_go(held)
        if isinstance(answer, Exception):  # a run is not repeated because this could not be noted
            logger.warning("%s is done, but no duplicate will know: %s", held.lease.owner, answer)
        if answer is None:
            self._decided(record, message, "overtaken")
            self._leave(broker, message, 0)
            return False
        self._decided(record, message, "completed")
        return True

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

    def _call(self, record: Record, owner: str, call: Callable[[], Any], held: Held) -> tuple[Any, Settling]:
        try:
            with scope(record.key, held, record.ttl):
                result = call()
            value = encoded(result)
        except BaseException:
            held.settling = True
            # Before the retry is enqueued, so that it does not meet its own claim; if this fails, the lease lapses.
            with suppress(StoreUnavailable):
                self._store.release(record.key, owner)
            raise
        held.settling = True
        return result, Settling(record.key, owner, record.fingerprint, value, record.ttl, record.value_ttl)

    def _settled(self, settling: Settling, patient: bool) -> Answer:
        """Return the result that counts, None if it is another run's, or why that could not be noted."""

        def settle() -> bytes | None:
            (answer,) = self._store.settle_many([settling])
            if isinstance(answer, Exception):
                raise answer
            return answer

        while True:
            try:
                return self._patience.until_answered(settle) if patient else settle()
            except StoreUnavailable as exc:
                return exc
            except Interrupt:
                logger.warning("%s is done, so it is too late to interrupt it", settling.owner)

    def _leave(self, broker: Broker, message: MessageProxy, remaining: int) -> None:
        """Leave a copy that comes for the outcome of the one that runs: soon at first, and at the latest when it must
        have renewed its lease or lost it."""
        waits = message.options.get("waits", 0)
        delay = min(max(remaining, SOONEST), SOONEST * 2**waits) + random.randint(0, SOONEST)
        # The broker tells only one delivery that the one before it was given up: the copy must know it, too.
        known = {"redelivered": True} if redelivered(message) else {}
        leave_copy(broker, message, delay, self._patience, waits=min(waits + 1, 16), **known)

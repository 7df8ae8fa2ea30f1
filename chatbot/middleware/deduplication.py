"""Deduplication: the same call is enqueued once inside a window.

Two phases, so that no call is ever suppressed without a published original: the claim is a short lease until the
publication is confirmed, and only then does it hold for the window.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dramatiq.errors import BrokerConnectionError
from dramatiq.results import Results

from chatbot.bridge import apart
from chatbot.errors import PolicyInvalid, StoreUnavailable
from chatbot.middleware.calls import parameters_hash, record_key, resolve, signature
from chatbot.middleware.claims import Record
from chatbot.middleware.guard import Guard, composed, outcome
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.observer import NOBODY, Decision, Judged, Observer
from chatbot.middleware.policies import HOUR, Deduplicated, ms, policy_of
from chatbot.middleware.records import RecordRunner
from chatbot.stores.base import Store
from chatbot.stores.values import Claim

if TYPE_CHECKING:
    from dramatiq import Actor, Broker
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

    from chatbot.middleware.calls import Call

logger = logging.getLogger(__name__)

#: ms. How long a publication may take before its claim falls to the next caller.
LEASE = 10_000
#: ms. For how long a worker that died keeps a call that somebody waits for.
RUN_LEASE = 5_000
#: s. A publication of which nothing was heard for so long is forgotten.
FORGOTTEN = 60
#: After these errors a message may be in a queue or a window nevertheless.
UNKNOWN = (BrokerConnectionError, StoreUnavailable, OSError)


class Deduplication(Guard):
    """The same parameters are enqueued once inside `window`; the suppressed call learns the first one's message id, as
    `options["original"]`."""

    option, policy, rank = "deduplicated", Deduplicated, 0

    def __init__(self, store: Store, *, heartbeat: Heartbeat | None = None, observer: Observer = NOBODY) -> None:
        super().__init__(observer)
        self._store = store
        heartbeat = heartbeat or Heartbeat(store, observer)
        self._runner = RecordRunner(store, heartbeat, self.patience, self.observer, "deduplicated")
        #: Claims of messages that are being published: message id -> (record, window in ms, since when), oldest first.
        self._pending: dict[str, tuple[str, int, float]] = {}
        self._lock = threading.Lock()

    def before_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        super().before_declare_actor(broker, actor)
        policy, parameters = actor.options.get(self.option), signature(actor.fn).parameters
        strangers = policy.exclude - parameters.keys() if policy else frozenset()
        if strangers and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            raise PolicyInvalid(f"exclude of {actor.actor_name!r} names no parameters of it: {sorted(strangers)}")

    def after_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        if actor.options.get("debounced") is None:  # a window has no caller who waits for a result
            super().after_declare_actor(broker, actor)

    # --- enqueue ---
    def admit(self, broker: Broker, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        verdicts = list(messages)
        #: What this batch has claimed: record -> message id. None of it is published before all of it is admitted.
        ours: dict[str, str] = {}
        try:
            # Everybody claims in one order, so that no two batches wait for each other.
            for record, i, policy in sorted(self._wanted(broker, messages), key=lambda wanted: wanted[:2]):
                message = messages[i]
                if (original := ours.get(record, message.message_id)) != message.message_id:
                    verdicts[i] = self._suppressed(record, message, original)
                elif (verdict := self._admit(policy, record, message)) is not message:
                    verdicts[i] = verdict
                else:
                    ours[record] = message.message_id
        except BaseException as exc:
            for message in messages:
                self.abandon(message, exc)
            raise
        return verdicts

    def _wanted(self, broker: Broker, messages: Sequence[Message[Any]]) -> list[tuple[str, int, Deduplicated]]:
        wanted = []
        for i, message in enumerate(messages):
            actor = broker.get_actor(message.actor_name)
            policy = policy_of(self.option, Deduplicated, actor, message)
            if policy and not _awaited(broker, actor, message) and (record := _record(policy, actor, message)):
                wanted.append((record, i, policy))
        return wanted

    def _admit(self, policy: Deduplicated, record: str, message: Message[Any]) -> Message[Any]:
        try:
            claim = self._decided(record, message.message_id)
        except StoreUnavailable:
            proceed = policy.on_store_error == "proceed"
            self.observer.store_error(message.actor_name, "proceeded" if proceed else "failed")
            if not proceed:
                raise
            logger.warning("the store is down: %s is enqueued unguarded", message.message_id)
            return message
        if claim.verdict == "done":
            return self._suppressed(record, message, claim.owner)
        self._expect(message, record, ms(policy.window))
        return message

    def _suppressed(self, record: str, message: Message[Any], original: str) -> Message[Any]:
        self._tell(record, message, "duplicate", original)
        return outcome(message, "duplicate", original=original)

    def _tell(self, record: str, message: Message[Any], verdict: Decision, of: str = "") -> None:
        judged = Judged(message.actor_name, message.message_id, record, "", verdict, "deduplicated", of)
        self.observer.decided([judged])

    def _decided(self, record: str, owner: str) -> Claim:
        """Claim, and while another caller is between its claim and its confirmation, wait for its outcome."""
        pause = 0.005
        while (claim := self._store.claim(record, owner, LEASE)).verdict == "busy":
            apart(time.sleep, min(pause, claim.remaining / 1000 + 0.001))
            pause *= 2
        return claim

    def _expect(self, message: Message[Any], record: str, window: int) -> None:
        now = time.monotonic()
        with self._lock:
            # On a foreign broker nobody tells of a publication that failed.
            while self._pending and next(iter(self._pending.values()))[2] < now - FORGOTTEN:
                del self._pending[next(iter(self._pending))]
            self._pending[message.message_id] = (record, window, now)

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        self.confirm(message)

    def confirm(self, message: Message[Any]) -> None:
        with self._lock:
            record, window, _ = self._pending.pop(message.message_id, ("", 0, 0))
        if not record:
            return
        self._tell(record, message, "enqueued")
        try:
            self._store.settle(record, message.message_id, "", b"", window, window)
        except StoreUnavailable as exc:
            logger.warning("%s is published, but after %s ms nobody will know: %s", message.message_id, LEASE, exc)

    def abandon(self, message: Message[Any], error: BaseException) -> None:
        with self._lock:
            record, *_ = self._pending.pop(message.message_id, ("",))
        # The lease decides where an interrupt or a lost connection leaves it open whether the message is out.
        if record and isinstance(error, Exception) and not isinstance(error, UNKNOWN):
            with suppress(StoreUnavailable):
                self._store.release(record, message.message_id)

    # --- execution ---
    def run(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        """A call that somebody waits for was not suppressed: as a duplicate it takes the first one's result."""

        def call() -> Any:
            return fn(*message.args, **message.kwargs)

        policy = policy_of(self.option, Deduplicated, actor, message)
        if policy is None or not _awaited(broker, actor, message) or (key := _record(policy, actor, message)) is None:
            return call()
        window = ms(policy.window)
        record = Record(
            key=f"awaited-{key}",
            fingerprint="",
            ttl=window,
            value_ttl=min(window, HOUR),
            lease=RUN_LEASE,
            on_store_error=policy.on_store_error,
        )
        return self._runner.run(broker, record, call, message)


def _record(policy: Deduplicated, actor: Actor[..., Any], message: Call) -> str | None:
    key = parameters_hash(actor, message, policy.exclude) if policy.key is None else resolve(policy.key, actor, message)
    return None if key is None else record_key("dedup", actor.actor_name, key)


def _awaited(broker: Broker, actor: Actor[..., Any], message: Call) -> bool:
    """Say whether somebody waits for this very message's result."""
    if composed(message):
        return True
    if actor.options.get("debounced") is not None:
        return False
    default = next((m.store_results for m in broker.middleware if isinstance(m, Results)), False)
    return bool(message.options.get("store_results", actor.options.get("store_results", default)))

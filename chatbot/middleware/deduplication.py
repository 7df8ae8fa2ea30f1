"""Deduplication: the same call is enqueued once inside a window.

Two phases, so that no call is ever suppressed without a published original: the claim is a short lease until the
publication is confirmed, and only then does it hold for the window.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dramatiq.errors import BrokerConnectionError

from chatbot.errors import StoreUnavailable
from chatbot.middleware.calls import parameters_hash, resolve
from chatbot.middleware.guard import Guard, composed, outcome
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.policies import HOUR, Deduplicated, ms, policy_of
from chatbot.middleware.records import Record, RecordRunner
from chatbot.stores.base import Claim, Store

if TYPE_CHECKING:
    from dramatiq import Actor, Broker
    from dramatiq.broker import MessageProxy
    from dramatiq.message import Message

logger = logging.getLogger(__name__)

#: ms. How long a publication may take before its claim falls to the next caller.
LEASE = 10_000


class Deduplication(Guard):
    """The same parameters are enqueued once inside `window`; the suppressed call learns the first one's message id, as
    `options["original"]`."""

    option, policy, rank = "deduplicated", Deduplicated, 0

    def __init__(self, store: Store, *, heartbeat: Heartbeat | None = None) -> None:
        super().__init__()
        self._store = store
        self._runner = RecordRunner(store, heartbeat or Heartbeat(store), self.patience)
        #: Claims of messages that are being published: message id -> (record, window in ms).
        self._pending: dict[str, tuple[str, int]] = {}
        self._lock = threading.Lock()

    # --- enqueue ---
    def admit(self, broker: Broker, messages: Sequence[Message[Any]]) -> list[Message[Any]]:
        return [self._admit(broker.get_actor(message.actor_name), message) for message in messages]

    def _admit(self, actor: Actor[..., Any], message: Message[Any]) -> Message[Any]:
        policy = policy_of(self.option, Deduplicated, actor, message)
        if policy is None or _awaited(actor, message) or (record := _record(policy, actor, message)) is None:
            return message
        try:
            claim = self._decided(record, message.message_id)
        except StoreUnavailable:
            if policy.on_store_error == "fail":
                raise
            logger.warning("the store is down: %s is enqueued unguarded", message.message_id)
            return message
        if claim.verdict == "done":
            return outcome(message, "duplicate", original=claim.owner)
        with self._lock:
            self._pending[message.message_id] = (record, ms(policy.window))
        return message

    def _decided(self, record: str, owner: str) -> Claim:
        """Claim, and while another caller is between its claim and its confirmation, wait for its outcome."""
        pause = 0.005
        while (claim := self._store.claim(record, owner, LEASE)).verdict == "busy":
            time.sleep(min(pause, claim.remaining / 1000 + 0.001))
            pause *= 2
        return claim

    def after_enqueue(self, broker: Broker, message: Message[Any], delay: int | None) -> None:
        with self._lock:
            pending = self._pending.pop(message.message_id, None)
        if pending is not None:
            record, window = pending
            self._store.settle(record, message.message_id, "", b"", window, window)

    def abandon(self, message: Message[Any], error: BaseException) -> None:
        with self._lock:
            pending = self._pending.pop(message.message_id, None)
        # After a lost connection the message may be in the queue: then the lease decides.
        if pending is not None and not isinstance(error, BrokerConnectionError):
            self._store.release(pending[0], message.message_id)

    # --- execution ---
    def run(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        """A call that somebody waits for was not suppressed: as a duplicate it takes the first one's result."""

        def call() -> Any:
            return fn(*message.args, **message.kwargs)

        policy = policy_of(self.option, Deduplicated, actor, message)
        if policy is None or not _awaited(actor, message) or (key := _record(policy, actor, message)) is None:
            return call()
        window = ms(policy.window)
        record = Record(key=f"run:{key}", fingerprint="", ttl=window, value_ttl=min(window, HOUR), lease=LEASE)
        return self._runner.run(broker, record, call, message, on_store_error=policy.on_store_error)


def _record(policy: Deduplicated, actor: Actor[..., Any], message: Message[Any] | MessageProxy) -> str | None:
    key = parameters_hash(actor, message, policy.exclude) if policy.key is None else resolve(policy.key, actor, message)
    return None if key is None else f"{actor.actor_name}:dedup:{key}"


def _awaited(actor: Actor[..., Any], message: Message[Any] | MessageProxy) -> bool:
    """Say whether somebody waits for this very message's result."""
    return composed(message) or bool(message.options.get("store_results", actor.options.get("store_results")))

"""Counting what the guards decide and what workers run."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dramatiq.middleware import Middleware

from chatbot.metrics.meters import Meters
from chatbot.middleware.observer import Ending, Judged, Observer, StoreDown
from chatbot.stores.values import BeginVerdict, Entry, FollowUp

if TYPE_CHECKING:
    from dramatiq import Actor, Broker
    from dramatiq.broker import MessageProxy

_RUN = frozenset({"new", "mine", "taken"})


class _Delivery(threading.local):
    """What this thread runs: since when (monotonic s), and when its claim check was published (ms)."""

    since: float = 0.0
    stamp: int = 0


class Counting(Middleware, Observer):
    """Hears the guards as an observer, and workers as a middleware; put it first, so that it hears of an end last."""

    def __init__(self, meters: Meters) -> None:
        self._meters = meters
        self._delivery = _Delivery()
        #: How far this host's clock is ahead of the store's (s), as far as we know.
        self._ahead = 0.0

    # --- the guards ---
    def decided(self, calls: Sequence[Judged]) -> None:
        for labels, count in Counter((call.actor, call.by, call.outcome) for call in calls).items():
            self._meters.count("chatbot_decisions_total", *labels, by=count)

    def taken(self, key: str, epoch: int, stamp: int) -> None:
        # The store has just said what time it is.
        self._ahead = time.time() - stamp / 1000

    def began(
        self, key: str, epoch: int, message_id: str, verdict: BeginVerdict, owner: str, entries: Sequence[Entry]
    ) -> None:
        actor = _actor(key)
        self._meters.count("chatbot_claims_total", actor, verdict)
        # A turn is frozen and published for the first time in one step, at one time; a later publication is a repair.
        if verdict in _RUN and self._delivery.stamp == epoch // 1000:
            self._meters.observe("chatbot_overshoot_seconds", self._now() - epoch / 1e6, actor)

    def settled(
        self,
        key: str,
        epoch: int,
        outcome: Ending,
        entries: Sequence[Entry],
        follow_ups: Sequence[FollowUp],
        error: BaseException | None,
    ) -> None:
        actor, meters = _actor(key), self._meters
        meters.count("chatbot_turns_total", actor, outcome)
        if outcome == "buried":
            meters.count("chatbot_dead_letters_total", actor)
        elif outcome in ("kept", "split"):
            meters.count("chatbot_retries_total", actor)
        if outcome in ("settled", "buried"):
            meters.observe("chatbot_turn_items", len(entries), actor)
            meters.observe("chatbot_window_seconds", (epoch // 1000 - entries[0].arrived) / 1000, actor)
            meters.observe("chatbot_turn_latency_seconds", self._now() - entries[-1].arrived / 1000, actor)

    def store_error(self, actor: str, decision: StoreDown) -> None:
        self._meters.count("chatbot_store_errors_total", actor, decision)

    def broker_error(self) -> None:
        self._meters.count("chatbot_broker_errors_total")

    def lease_lost(self, key: str) -> None:
        self._meters.count("chatbot_leases_lost_total")

    # --- the workers ---
    def after_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        for name in ("chatbot_retries_total", "chatbot_dead_letters_total"):
            self._meters.count(name, actor.actor_name, by=0)

    def before_process_message(self, broker: Broker, message: MessageProxy) -> None:
        options, ahead = message.options, 0.0
        self._delivery.stamp, published = 0, max(message.message_timestamp, options.get("eta", 0))
        if "turn" in options:
            self._delivery.stamp = published = options["turn"][2]
            ahead = self._ahead
        self._delivery.since = time.monotonic()
        self._meters.observe("chatbot_queue_seconds", time.time() - ahead - published / 1000, message.queue_name)

    def after_process_message(
        self, broker: Broker, message: MessageProxy, *, result: Any = None, exception: BaseException | None = None
    ) -> None:
        actor, taken = message.actor_name, time.monotonic() - self._delivery.since
        self._meters.observe("chatbot_run_seconds", taken, actor)
        if exception is None or "turn" in message.options:
            return  # the ledger tells what becomes of a turn
        if not message.failed:
            self._meters.count("chatbot_retries_total", actor)

    def after_nack(self, broker: Broker, message: MessageProxy) -> None:
        # A message for an actor that nobody declared may name anything.
        name = message.actor_name
        self._meters.count("chatbot_dead_letters_total", name if name in broker.actors else "unknown")

    def _now(self) -> float:
        """Return the store's time in s, by our clock."""
        return time.time() - self._ahead


def _actor(key: str) -> str:
    return key.partition("/")[0]

"""The scheduler: publishes what is due, whatever number of its copies run.

A tick is claimed in the store per actor and minute, published, and then settled, as deduplication does it: a scheduler
that dies in between delays the tick by one lease. When in doubt it publishes again, for a tick that is in the broker
twice still runs once (see Periodic).
"""

from __future__ import annotations

import logging
import math
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

from dramatiq.errors import BrokerConnectionError

from chatbot.errors import ConfigurationError, StoreUnavailable
from chatbot.middleware.policies import HOUR, Duration, ms
from chatbot.scheduling.periodic import CatchUp
from chatbot.scheduling.ticks import MINUTE, fires, stamp
from chatbot.stores.base import Store
from chatbot.stores.values import DAY

if TYPE_CHECKING:
    from dramatiq import Actor, Broker

logger = logging.getLogger(__name__)

#: ms. How long a publication may take before its tick falls to another scheduler.
LEASE = 10_000
#: s. Clocks that differ by more than this are wrong.
SKEW = 300
#: ms by which a tick's record outlives the horizon: others, whose clocks are behind, still look for it.
MARGIN = 600_000
#: The last ticks of an actor are kept, so that one from a clock that is wrong does not hide the others.
MOST_KEPT, LAST_KEPT = 8, 400 * DAY
#: s. The longest pause between two attempts while store or broker are down.
LONGEST_PAUSE = 15.0
#: What concerns every actor alike.
UNREACHABLE = (StoreUnavailable, BrokerConnectionError)

_NAMESPACE = uuid.UUID("d2b4a9a8-5b0e-5f4b-9d67-0f3a1c7be0c4")


@dataclass(slots=True)
class _Plan:
    """One periodic actor, and how far this scheduler has come with it."""

    actor: Actor[..., Any]
    catch_up: CatchUp
    #: The last minute that needs no further look; None: the store has not been asked.
    last: int | None = None
    #: Ticks that another scheduler was publishing when we looked: ours, should it have died.
    owed: set[int] = field(default_factory=set)
    #: Ticks that we published and could not settle yet.
    published: set[int] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.actor.actor_name


class Scheduler:
    """Publishes the ticks of a broker's periodic actors.

    Ticks that nobody could publish (no scheduler ran, store or broker were down) are made up within `horizon`: the
    latest one, or with `catch_up="all"` every one, in order. A new actor has missed nothing before it was first seen.
    `zone` is where specifications are read; `now` tells the time in s since the epoch. Clocks of schedulers may differ
    by seconds.
    """

    def __init__(
        self,
        broker: Broker,
        store: Store,
        *,
        zone: tzinfo = UTC,
        horizon: Duration = HOUR,
        catch_up: CatchUp = "latest",
        lease: Duration = LEASE,
        now: Callable[[], float] = time.time,
    ) -> None:
        if ms(horizon) < MINUTE * 1000:
            raise ConfigurationError("the horizon within which ticks are made up must be at least a minute")
        self._broker, self._store, self._zone, self._now = broker, store, zone, now
        self._horizon, self._lease = ms(horizon) // 60_000 * MINUTE, ms(lease)
        self._id = f"scheduler/{socket.gethostname()}:{os.getpid()}/{uuid.uuid4().hex}"
        actors = [actor for actor in broker.actors.values() if actor.options.get("periodic") is not None]
        self._plans = [_Plan(actor, actor.options.get("catch_up") or catch_up) for actor in actors]
        if not actors:
            raise ConfigurationError('no actor is periodic: declare one with periodic=cron("...")')

    def run(self, stop: threading.Event, stepped: Callable[[], None] = lambda: None) -> None:
        """Publish ticks until told to stop. `stepped` is called after each step that went through."""
        for plan in self._plans:
            logger.info("%s is scheduled at %s (%s)", plan.name, plan.actor.options["periodic"], self._zone)
        failures = 0
        while not stop.is_set():
            try:
                wait = self.step()
                failures = 0
                stepped()
            except Exception as exc:
                failures += 1
                wait = min(0.25 * 2.0 ** min(failures, 10), LONGEST_PAUSE) * random.uniform(0.5, 1)
                known = isinstance(exc, UNREACHABLE)
                logger.warning("no tick can be published: %s; trying again in %.1f s", exc, wait, exc_info=not known)
            stop.wait(wait)

    def step(self) -> float:
        """Publish what is due, once; return after how many seconds to look again.

        Raises StoreUnavailable or BrokerConnectionError: nothing is lost, and the next step goes on.
        """
        minute = int(self._now() // MINUTE) * MINUTE
        waits = [self._attempt(plan, minute) for plan in self._plans]
        return max(0.0, min(minute + MINUTE - self._now(), *waits))

    def _attempt(self, plan: _Plan, minute: int) -> float:
        """An actor that cannot be sent must not keep the others; where nothing can be sent, none is tried."""
        try:
            return self._serve(plan, minute)
        except UNREACHABLE:
            raise
        except Exception:
            logger.exception("%s could not be sent at its tick", plan.name)
            return LONGEST_PAUSE

    def _serve(self, plan: _Plan, minute: int) -> float:
        if plan.last is None or plan.last > minute + SKEW:  # a clock that was put right
            plan.last = self._recall(plan, minute)
        for tick in self._due(plan, plan.last, minute):
            if busy := self._publish(plan, tick):
                plan.owed.add(tick)
                return busy
            plan.last = tick
        plan.last = max(plan.last, minute)
        plan.owed.clear()
        plan.published.clear()
        return math.inf

    def _due(self, plan: _Plan, last: int, minute: int) -> list[int]:
        first = max(last, minute - self._horizon) + MINUTE
        spec = plan.actor.options["periodic"]
        due = [tick for tick in range(first, minute + 1, MINUTE) if fires(spec, self._zone, tick)]
        return due if plan.catch_up == "all" else [tick for tick in due if tick == due[-1] or tick in plan.owed]

    # --- what the store knows ---
    def _recall(self, plan: _Plan, minute: int) -> int:
        """Return the last tick that was published; of an actor that nobody knows, this minute is the first."""
        known = [int(entry) for entry in self._store.recall(f"tick:{plan.name}")]
        believed = [tick for tick in known if tick <= minute + SKEW]
        if not believed:
            self._remember(plan, minute)
        return max(believed, default=minute)

    def _remember(self, plan: _Plan, tick: int) -> None:
        self._store.remember(f"tick:{plan.name}", stamp(tick), str(tick).encode(), MOST_KEPT, LAST_KEPT)

    # --- claim, publish, settle ---
    def _publish(self, plan: _Plan, tick: int) -> float:
        """See to it that the tick is published, by us or by another; return for how many s another may be at it."""
        record = f"tick/{plan.name}@{stamp(tick)}"
        if tick not in plan.published:
            claim = self._store.claim(record, self._id, self._lease)
            if claim.verdict == "busy":
                return max(claim.remaining, 1) / 1000
            if claim.verdict == "done":
                return 0
            self._enqueue(plan, tick, record)
            plan.published.add(tick)
        kept = self._horizon * 1000 + MARGIN
        self._store.settle(record, self._id, "", b"", kept, kept)
        self._remember(plan, tick)
        return 0

    def _enqueue(self, plan: _Plan, tick: int, record: str) -> None:
        message = plan.actor.message_with_options(scheduled_at=stamp(tick))
        # Equal in every publication of a tick, so that results of every copy are one.
        message = message.copy(message_id=str(uuid.uuid5(_NAMESPACE, record)))
        try:
            sent = self._broker.enqueue(message)
        except BaseException:
            with suppress(StoreUnavailable):  # else the lease decides
                self._store.release(record, self._id)
            raise
        logger.info("%s: tick %s %s", plan.name, stamp(tick), sent.options.get("outcome", "enqueued"))

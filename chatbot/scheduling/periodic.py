"""The actor option `periodic=cron("...")`, and what it promises at execution: a tick completes once.

A scheduler that dies after it has published leaves its tick to be published again, and brokers redeliver. So a tick's
run is claimed and settled in the store like any idempotent call: a failure releases it, and the retry runs.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, get_args

from periodiq import CronSpec

from chatbot.errors import PolicyInvalid
from chatbot.middleware import Guard
from chatbot.middleware.claims import Record
from chatbot.middleware.leases import Heartbeat
from chatbot.middleware.patience import skip
from chatbot.middleware.policies import HOUR, Duration, ms
from chatbot.middleware.records import RecordRunner
from chatbot.scheduling import ticks
from chatbot.stores.base import Store
from chatbot.stores.values import DAY

if TYPE_CHECKING:
    from dramatiq import Actor, Broker
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

CatchUp = Literal["latest", "all"]
#: ms. A dead worker's tick is free after this long.
LEASE = 5_000


class Periodic(Guard):
    """An actor with `periodic=cron("...")` is sent at every tick of that specification, without arguments.

    Further options of such an actor: `catch_up`, as of Scheduler, and `skip_delay`: a tick that begins later than that
    after its time is skipped (None, the default here: never). A retry is never skipped. `now` tells the time in s.
    """

    option, policy, rank = "periodic", CronSpec, 3

    def __init__(
        self,
        store: Store,
        *,
        heartbeat: Heartbeat | None = None,
        skip_delay: Duration | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self._runner = RecordRunner(store, heartbeat or Heartbeat(store), self.patience)
        self._skip_delay, self._now = skip_delay, now

    @property
    def actor_options(self) -> set[str]:
        return {"periodic", "catch_up", "skip_delay"}

    def before_declare_actor(self, broker: Broker, actor: Actor[..., Any]) -> None:
        super().before_declare_actor(broker, actor)
        if (spec := actor.options.get("periodic")) is None:
            return
        ticks.check(spec)
        if actor.options.get("debounced") is not None:
            raise PolicyInvalid(f"{actor.actor_name!r} is periodic and debounced: a tick has no item to join a window")
        if actor.options.get("catch_up") not in (None, *get_args(CatchUp)):
            raise PolicyInvalid(f"catch_up of {actor.actor_name!r} must be 'latest' or 'all'")

    def run(self, broker: Broker, actor: Actor[..., Any], fn: Callable[..., Any], message: MessageProxy) -> Any:
        scheduled_at = message.options.get("scheduled_at")
        if scheduled_at is None:  # sent by hand
            return fn(*message.args, **message.kwargs)
        if self._is_late(actor, message, scheduled_at):
            logger.warning("%s: skipping the tick of %s, which is too long ago", actor.actor_name, scheduled_at)
            skip(message, "this tick is too long ago")
        key = f"tick/{actor.actor_name}@{scheduled_at}/run"
        record = Record(key=key, fingerprint="", ttl=DAY, value_ttl=HOUR, lease=LEASE)
        return self._runner.run(broker, record, lambda: fn(*message.args, **message.kwargs), message)

    def _is_late(self, actor: Actor[..., Any], message: MessageProxy, scheduled_at: str) -> bool:
        limit: Duration | None = actor.options.get("skip_delay", self._skip_delay)
        if limit is None or message.options.get("retries"):
            return False
        late = self._now() - datetime.fromisoformat(scheduled_at).timestamp()
        return late * 1000 > ms(limit)

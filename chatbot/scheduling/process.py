"""A scheduler as a process: it publishes ticks until it is told to stop, and then stops within a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from chatbot.errors import ConfigurationError
from chatbot.middleware.policies import HOUR, Duration
from chatbot.processes.stopping import StopSignals
from chatbot.scheduling.periodic import CatchUp
from chatbot.scheduling.scheduler import Scheduler
from chatbot.stores.base import Store

if TYPE_CHECKING:
    from dramatiq import Broker

#: s. A publication that takes longer is left behind: its claim lapses, and another scheduler publishes the tick.
GRACE = 0.5


def run(
    broker: Broker,
    store: Store,
    *,
    timezone: str = "UTC",
    horizon: Duration = HOUR,
    catch_up: CatchUp = "latest",
    stepped: Callable[[], None] = lambda: None,
) -> None:
    """Publish ticks until SIGTERM or SIGINT. The options are those of Scheduler; `timezone` is a name such as
    Europe/Paris; `stepped` is called whenever nothing more is due, at least once a minute. Raises ConfigurationError if
    there is no time zone of that name, or no periodic actor."""
    scheduler = Scheduler(broker, store, zone=zone(timezone), horizon=horizon, catch_up=catch_up)
    told, stop = StopSignals(), threading.Event()
    # In a thread of its own, because a client that waits for a server cannot be interrupted.
    thread = threading.Thread(target=scheduler.run, args=(stop, stepped), name="scheduler", daemon=True)
    thread.start()
    told.wait()
    stop.set()
    thread.join(GRACE)


def zone(name: str) -> ZoneInfo:
    """Return a time zone by its name."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as exc:
        raise ConfigurationError(f"there is no time zone {name!r}: name one like UTC or Europe/Paris") from exc

"""sweep: what an operator would look after, every minute: gauges, states that nothing looks at, old dead letters."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from periodiq import cron

from chatbot.errors import StoreUnavailable
from chatbot.middleware import declare
from chatbot.stores.base import Store
from chatbot.stores.values import DAY, OPEN

if TYPE_CHECKING:
    from dramatiq import Actor, Broker

logger = logging.getLogger(__name__)

#: ms. The gauges that a later sweep has read are newer, so one that waited for longer is left out.
STALE = 120_000
#: One step holds up the server for less than a millisecond, and one sweep walks over this many of its keys at most;
#: the next goes on from there.
STEP, STEPS = 500, 100
#: Dead letters that one sweep drops in each partition.
MOST_PRUNED = 1_000


def declare_sweep(broker: Broker, store: Store) -> Actor[..., Any]:
    """Declare the sweep, every minute. Another follows, so a failed one is not repeated."""
    return declare(
        broker,
        sweep_actor(store),
        queue_name="low",
        periodic=cron("* * * * *"),
        skip_delay=STALE,
        max_retries=0,
    )


def sweep_actor(store: Store, *, step: int = STEP, steps: int = STEPS) -> Callable[[], None]:
    """Return the function that sweeps, over at most `step` times `steps` keys of the server."""

    def sweep() -> None:
        try:
            pruned = store.prune_dead(OPEN, MOST_PRUNED)
            seen, mended = _mend(store, step, steps)
            gauges = _gauges(store) | {"pruned": pruned, "seen": seen, "mended": mended}
        except StoreUnavailable as exc:
            logger.warning("the sweep is left to the next minute: %s", exc)
            return
        if mended:
            logger.warning("%d conversations were open, but nothing would have looked at them again", mended)
        logger.info("sweep %s", msgspec.json.encode(gauges).decode())

    return sweep


def _mend(store: Store, step: int, steps: int) -> tuple[int, int]:
    """Go on with the walk over all states; return how many were seen and how many put right."""
    cursor, seen, mended = b"".join(store.recall("sweep")[-1:]).decode(), 0, 0
    for _ in range(steps):
        done = store.mend(cursor, step)
        cursor, seen, mended = done.cursor, seen + done.seen, mended + done.mended
        if not cursor:
            break
    store.remember("sweep", "cursor", cursor.encode(), 1, DAY)
    return seen, mended


def _gauges(store: Store) -> dict[str, Any]:
    parts = store.survey()
    due = [part.oldest_due_in for part in parts if part.oldest_due_in is not None]
    return {
        "open": sum(part.open for part in parts),
        "running": sum(part.running for part in parts),
        # How far the pumps are behind.
        "overdue_ms": max(0, -min(due, default=0)),
        "dead": [part.dead for part in parts],
    }

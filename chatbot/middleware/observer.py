"""What the guards tell whoever wants to count, explain or trace what they decide.

An observer hears of every decision and every step of a turn, after it was taken: it can change nothing, and it must
not block, for it is called on the way of a message, by any thread. What it raises is logged once and ends there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from chatbot.stores.values import BeginVerdict, Entry, FollowUp

logger = logging.getLogger(__name__)

#: The option of the policy that decided.
Guarantee = Literal["deduplicated", "debounced", "idempotent"]
#: What became of a call. At enqueue: enqueued, absorbed, duplicate, overflow. Of an edit: amended, withdrawn, late,
#: joined. Of an idempotent call at execution: completed, duplicate, waiting, reused, overtaken.
Decision = Literal[
    "enqueued", "absorbed", "duplicate", "overflow",
    "amended", "withdrawn", "late", "joined",
    "completed", "waiting", "reused", "overtaken",
]  # fmt: skip
#: How a run ended: `settled`, `buried` (a dead letter), `kept` for a later attempt, `split` into halves, or `refused`,
#: because another run had taken the turn over.
Ending = Literal["settled", "buried", "kept", "split", "refused"]
#: What a store that does not answer means to a call: it goes on unguarded, its sender gets the error, or it waits.
StoreDown = Literal["proceeded", "failed", "waited"]


class Judged(NamedTuple):
    """What became of a call. `item_id` is empty unless it is debounced; `of` is what a duplicate repeats: the message
    id of its original, or the epoch of the turn that settled it; empty if that is open or not known."""

    actor: str
    message_id: str
    key: str
    item_id: str
    outcome: Decision
    by: Guarantee
    of: str


class Observer:
    """Hears what the guards do. Every method does nothing: override what you want to know.

    `key` is `<actor>/<subject>` of a debounced call, and the record's key of others; epochs are in us.
    """

    def decided(self, calls: Sequence[Judged]) -> None:
        """Calls were judged: at enqueue a batch of them, at execution one."""

    def taken(self, key: str, epoch: int, stamp: int) -> None:
        """A turn is about to be published, for the first time or again; each publication has its stamp (ms)."""

    def published(self, key: str, epoch: int, stamp: int) -> None:
        """The broker has confirmed that publication."""

    def began(
        self, key: str, epoch: int, message_id: str, verdict: BeginVerdict, owner: str, entries: Sequence[Entry]
    ) -> None:
        """A delivery asked for its turn. Only `new`, `mine` and `taken` run, and have entries."""

    def settled(
        self,
        key: str,
        epoch: int,
        outcome: Ending,
        entries: Sequence[Entry],
        follow_ups: Sequence[FollowUp],
        error: BaseException | None,
    ) -> None:
        """A run ended. Follow-ups are stored only if it is `settled`."""

    def store_error(self, actor: str, decision: StoreDown) -> None:
        """The store did not answer for a call of this actor."""

    def broker_error(self) -> None:
        """Turns that are due could not be handed over to the broker, this time."""

    def lease_lost(self, key: str) -> None:
        """A run has lost its lease: it will have no effect."""


#: Hears everything, says nothing.
NOBODY = Observer()


def together(*observers: Observer) -> Observer:
    """Return one observer that tells all of these, and never raises."""
    told = [observer for observer in observers if observer is not NOBODY]
    if len(told) == 1 and isinstance(told[0], _Together):
        return told[0]
    return _Together(told) if told else NOBODY


class _Together(Observer):
    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)
        #: Of these observers an error was logged: a broken one must not fill the log.
        self.failed: set[int] = set()


def _tell(event: str) -> Callable[..., None]:
    def tell(self: _Together, *args: Any) -> None:
        for observer in self.observers:
            try:
                getattr(observer, event)(*args)
            except Exception:
                if id(observer) not in self.failed:
                    self.failed.add(id(observer))
                    logger.exception("%r failed to observe %s; its next errors are not logged", observer, event)

    return tell


for _event in [name for name in vars(Observer) if not name.startswith("_")]:
    setattr(_Together, _event, _tell(_event))

"""Settling behind the workers' backs: what a call has done is settled, and then its message acknowledged, while the
thread that ran it runs the next one.

A thread that waits for the store hands the interpreter to another one and back, which costs more than the trip itself.
Here one thread waits, for all that was done during its last trip. Until then the call keeps its lease and the broker
its message: if the process dies, it is as if it had died during the call.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from chatbot.errors import StoreUnavailable
from chatbot.middleware.patience import Patience, keep, pauses
from chatbot.stores.base import Store
from chatbot.stores.values import Settling

if TYPE_CHECKING:
    from dramatiq import Actor
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

#: Settlements that share a trip.
MOST = 100
#: What of a message or its actor somebody does with the result as soon as a call has returned: it must be the one that
#: counts, so those calls are settled before, as those whose result is stored.
_USED = ("pipe_target", "group_completion_uuid", "on_success")

#: The value that counts, None if another run has the record, or why the store could not be asked.
Answer = bytes | None | Exception


class Settlement(NamedTuple):
    """How a call is settled. `ended` hears the answer, and decides with it what becomes of the call."""

    settling: Settling
    patient: bool
    ended: Callable[[Answer], object]


class _Done(NamedTuple):
    """A call that is done, and what acknowledges its message."""

    message: MessageProxy
    settlement: Settlement
    acknowledge: Callable[[], None]


class Settler:
    """Settles what the calls of one process have done. The thread starts with the first of them."""

    def __init__(self, store: Store, patience: Patience) -> None:
        self._store, self._patience = store, patience
        self._done: SimpleQueue[_Done | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting, self._pid = threading.Lock(), os.getpid()

    def take(self, message: MessageProxy, settlement: Settlement) -> None:
        """Settle a call once its message is to be acknowledged, and before it is."""

        def settle(acknowledge: Callable[[], None]) -> None:
            self._start()
            self._done.put(_Done(message, settlement, acknowledge))

        vars(message)["settle"] = settle

    def flush(self) -> None:
        """Return when what was done before is settled, or was given up because the worker stops."""
        if self._thread is None:
            return
        self._start()
        over = threading.Event()
        self._done.put(over)
        while self._thread.is_alive() and not over.wait(1.0):
            pass

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                if self._pid != os.getpid():  # what was done before a fork is the parent's to settle
                    self._pid, self._done = os.getpid(), SimpleQueue()
                self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        gathered, waits = list[_Done | threading.Event](), pauses()
        while True:
            gathered += self._gather(wait=not gathered)
            late = self._settle([one for one in gathered if isinstance(one, _Done)])
            flushes = [one for one in gathered if isinstance(one, threading.Event)]
            if late:
                logger.warning("%d calls that are done wait for the store", len(late))
                time.sleep(next(waits))
                gathered = [*late, *flushes]
            else:
                for over in flushes:
                    over.set()
                gathered, waits = [], pauses()

    def _gather(self, *, wait: bool) -> list[_Done | threading.Event]:
        gathered = [self._done.get()] if wait else []
        with suppress(Empty):
            while len(gathered) < MOST:
                gathered.append(self._done.get_nowait())
        return gathered

    def _settle(self, done: Sequence[_Done]) -> list[_Done]:
        """Settle what is done; return what waits for the store. Of a cluster, only a part may be down."""
        late = []
        for one, answer in zip(done, self._asked([one.settlement.settling for one in done]), strict=True):
            if isinstance(answer, StoreUnavailable) and one.settlement.patient and not self._patience.is_over:
                late.append(one)
            else:
                _end(one, answer)
        return late

    def _asked(self, settlings: Sequence[Settling]) -> Sequence[Answer]:
        try:
            return self._store.settle_many(settlings) if settlings else []
        except Exception as exc:
            return [exc] * len(settlings)


def _end(done: _Done, answer: Answer) -> None:
    owner = done.settlement.settling.owner
    try:
        done.settlement.ended(answer)
    except Exception:
        logger.exception("%s is done, but nobody was told: the broker delivers it again", owner)
        keep(done.message)
    try:
        done.acknowledge()
    except Exception:
        # Its message stays with the broker, which delivers it again when this process ends.
        logger.exception("%s is done, but it could not be acknowledged", owner)


def may_wait(actor: Actor[..., object], message: MessageProxy, *, stored: bool = False) -> bool:
    """Say whether a call may be settled after it has returned: its broker's consumer waits for that, and nobody uses
    its result before. `stored` says whether results are, unless the message or its actor says it."""
    if not getattr(message, "settles_first", False):
        return False
    own, declared = message.options, actor.options
    if own.get("store_results", declared.get("store_results", stored)):
        return False
    return not (any(map(own.get, _USED)) or any(map(declared.get, _USED)))

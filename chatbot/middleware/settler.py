"""Settling behind the workers' backs: what a call has done is settled, and then its message acknowledged, while the
thread that ran it runs the next one.

A thread that waits for the store hands the interpreter to another one and back, which costs more than the trip itself.
Here one thread waits, for all that was done during its last trip. Until then the call keeps its lease and the broker
its message: if the process dies, it is as if it had died during the call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from chatbot.errors import StoreUnavailable
from chatbot.middleware.patience import Patience, pauses
from chatbot.stores.base import Settling, Store

if TYPE_CHECKING:
    from dramatiq import Actor
    from dramatiq.broker import MessageProxy

logger = logging.getLogger(__name__)

#: Settlements that share a trip.
MOST = 64
#: What of a message or its actor somebody does with the result as soon as a call has returned: it must be the one that
#: counts, so those calls wait.
_USED = ("pipe_target", "group_completion_uuid", "on_success", "store_results")

#: The value that counts, None if another run has the record, or why the store could not be asked.
Answer = bytes | None | Exception


class Settlement(NamedTuple):
    """How a call is settled. `ended` hears the answer, and decides with it what becomes of the call."""

    settling: Settling
    patient: bool
    ended: Callable[[Answer], object]


class Settler:
    """Settles what the calls of one process have done. The thread starts with the first of them."""

    def __init__(self, store: Store, patience: Patience) -> None:
        self._store, self._patience = store, patience
        self._done: SimpleQueue[tuple[Settlement, Callable[[], None]] | threading.Event] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def take(self, message: MessageProxy, settlement: Settlement) -> None:
        """Settle a call once its message is to be acknowledged, and before it is."""

        def settle(acknowledge: Callable[[], None]) -> None:
            self._done.put((settlement, acknowledge))
            self._start()

        vars(message)["settle"] = settle

    def flush(self) -> None:
        """Return when what was done before is settled, or was given up because the worker stops."""
        if self._thread is not None and self._thread.is_alive():
            over = threading.Event()
            self._done.put(over)
            over.wait()

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive():
            return
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="settler", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            gathered = [self._done.get()]
            with suppress(Empty):
                while len(gathered) < MOST:
                    gathered.append(self._done.get_nowait())
            self._settle([one for one in gathered if isinstance(one, tuple)])
            for one in gathered:
                if isinstance(one, threading.Event):
                    one.set()

    def _settle(self, done: Sequence[tuple[Settlement, Callable[[], None]]]) -> None:
        waits = pauses()
        while done:
            again = []
            for one, answer in zip(done, self._asked([settlement for settlement, _ in done]), strict=True):
                if isinstance(answer, StoreUnavailable) and one[0].patient and not self._patience.is_over:
                    again.append(one)
                else:
                    _end(*one, answer)
            if again:
                logger.warning("%d calls that are done wait for the store", len(again))
                time.sleep(next(waits))
            done = again

    def _asked(self, settlements: Sequence[Settlement]) -> Sequence[Answer]:
        try:
            return self._store.settle_many([one.settling for one in settlements])
        except Exception as exc:
            return [exc] * len(settlements)


def _end(settlement: Settlement, acknowledge: Callable[[], None], answer: Answer) -> None:
    try:
        settlement.ended(answer)
        acknowledge()
    except Exception:
        # Its message stays with the broker, which delivers it again when this process ends.
        logger.exception("%s is done, but it could not be acknowledged", settlement.settling.owner)


def may_wait(actor: Actor[..., object], message: MessageProxy) -> bool:
    """Say whether a call may be settled after it has returned: its broker's consumer waits for that, and nobody uses
    its result before."""
    if not getattr(message, "settles_first", False):
        return False
    own, declared = message.options, actor.options
    return all(not (own.get(name) or declared.get(name)) for name in _USED)

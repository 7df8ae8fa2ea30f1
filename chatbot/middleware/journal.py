"""The journal behind `explain`: what the guards decided and how runs ended, without any payload.

Best effort, and cheap: events are put into a bounded queue, from which one thread writes them to the store's capped
journal a few times a second. What does not fit, or meets a store that is down, is dropped and counted. The ledger
knows the truth; this only remembers how it came about.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import msgspec

from chatbot.errors import StoreUnavailable
from chatbot.middleware.events import Event
from chatbot.middleware.observer import Ending, Judged, Observer
from chatbot.middleware.policies import Duration, ms
from chatbot.middleware.turns import turn_id
from chatbot.stores.base import Store
from chatbot.stores.operators import Note
from chatbot.stores.values import BeginVerdict, Entry, FollowUp, subject

logger = logging.getLogger(__name__)

#: Notes that each partition of the store keeps: less than 500 bytes each.
MOST = 50_000
TTL = timedelta(days=7)
#: Events that may wait for the writer; those beyond are dropped.
ROOM = 10_000
#: s in which events gather to be written together.
PAUSE = 0.2
#: s without any event after which the writer ends; the next event starts another.
IDLE = 5.0
#: Notes in one call: the server writes each call to disk.
BATCH = 250
#: Of a turn's members so many are named; the ledger names the turn of each.
MEMBERS = 200
#: Characters of an error's text.
SAID = 200


#: Since when (s), about what, under which names, and the event.
_Waiting = tuple[float, str, tuple[str, ...], Event]


class Journal(Observer):
    """Writes down what it hears. `most` notes are kept in each partition of the store, none for longer than `ttl`."""

    def __init__(self, store: Store, *, most: int = MOST, ttl: Duration = TTL, room: int = ROOM) -> None:
        self._store, self._most, self._ttl, self._room = store, most, ms(ttl), room
        self._host = socket.gethostname()
        self._queue: deque[_Waiting] = deque()
        self._wake, self._closing = threading.Event(), threading.Event()
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._writer: threading.Thread | None = None
        #: Events that were not written down.
        self.dropped = 0

    # --- what it hears ---
    def decided(self, calls: Sequence[Judged]) -> None:
        since, worker = time.monotonic(), self._worker
        self._put([_decided(since, worker, *call) for call in calls])

    def published(self, key: str, epoch: int, stamp: int) -> None:
        self._note(key, Event(what="published", key=key, epoch=epoch, worker=self._worker))

    def began(
        self, key: str, epoch: int, message_id: str, verdict: BeginVerdict, owner: str, entries: Sequence[Entry]
    ) -> None:
        event = Event(
            what="began",
            key=key,
            epoch=epoch,
            message_id=message_id,
            outcome=verdict,
            owner=owner,
            worker=self._worker,
            turn_id=turn_id(key, entries) if entries else "",
            members=tuple(entry.digest for entry in entries[:MEMBERS]),
            size=len(entries),
        )
        self._note(key, event, message_id, event.turn_id)

    def settled(
        self,
        key: str,
        epoch: int,
        outcome: Ending,
        entries: Sequence[Entry],
        follow_ups: Sequence[FollowUp],
        error: BaseException | None,
    ) -> None:
        event = Event(
            what="ended",
            key=key,
            epoch=epoch,
            outcome=outcome,
            worker=self._worker,
            turn_id=turn_id(key, entries),
            size=len(entries),
            error=type(error).__name__ if error else "",
            said=_said(error),
            follow_ups=tuple(f"{f.key}\n{f.item_id}" for f in follow_ups[:MEMBERS]) if outcome == "settled" else (),
        )
        self._note(key, event, event.turn_id)

    @property
    def _worker(self) -> str:
        return f"{self._host}:{os.getpid()}"

    def lease_lost(self, key: str) -> None:
        self._note(key, Event(what="lost", key=key, worker=self._worker))

    def _note(self, key: str, event: Event, *names: str) -> None:
        self._put([(time.monotonic(), subject(key), tuple(name for name in names if name), event)])

    def _put(self, events: Sequence[_Waiting]) -> None:
        room = max(0, self._room - len(self._queue))
        self.dropped += max(0, len(events) - room)
        self._queue.extend(events[:room])
        # A process that was forked has our state, but not our thread.
        if self._writer is None or not self._writer.is_alive():
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    # --- writing it down ---
    def _start(self) -> None:
        with self._lock:
            if self._writer is None or not self._writer.is_alive():
                self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        while self._wake.wait(IDLE) or not self._may_end():
            self._wake.clear()
            self._closing.wait(PAUSE)
            self.flush()

    def _may_end(self) -> bool:
        # First nobody, then the look: whoever puts something in between starts another thread.
        with self._lock:
            self._writer = None
            if not self._queue:
                return True
            self._writer = threading.current_thread()
            return False

    def flush(self) -> None:
        """Write down what waits."""
        with self._writing:
            while batch := self._next():
                try:
                    self._store.note([_note(*one) for one in batch], self._most, self._ttl)
                except StoreUnavailable as exc:
                    # As much as waits would meet the same store; what comes later may find it up again.
                    lost = len(batch) + len(self._queue)
                    self._queue.clear()
                    self.dropped += lost
                    logger.warning("%d events will be missing from what `explain` tells: %s", lost, exc)
                    return
                except Exception:
                    self.dropped += len(batch)
                    logger.exception("%d events cannot be written down", len(batch))

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        with suppress(IndexError):
            while len(batch) < BATCH:
                batch.append(self._queue.popleft())
        return batch

    def close(self) -> None:
        """Write down what waits, and let the writer end soon."""
        self._closing.set()
        self.flush()


def _decided(
    since: float, worker: str, actor: str, message_id: str, key: str, item_id: str, outcome: str, by: str, of: str
) -> _Waiting:
    event = Event(
        what="decided",
        key=key,
        actor=actor,
        message_id=message_id,
        item_id=item_id,
        outcome=outcome,
        by=by,
        of=of,
        worker=worker,
    )
    if item_id:
        return since, subject(key), (message_id, item_id), event
    return since, key, (message_id, of) if of else (message_id,), event


def _note(since: float, about: str, names: tuple[str, ...], event: Event) -> Note:
    age = max(0, round((time.monotonic() - since) * 1000))
    return Note(subject=about, names=names, data=msgspec.json.encode(event), age=age)


def _said(error: BaseException | None) -> str:
    """Return an error's text, whatever the error is made of."""
    try:
        return str(error)[:SAID].encode(errors="replace").decode() if error else ""
    except Exception as exc:
        return f"({type(exc).__name__} when asked for it)"

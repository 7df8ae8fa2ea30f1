"""The verbs for operators, on what a MemoryStore keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from chatbot.stores.base import Store
from chatbot.stores.closed_turns import ClosedTurns
from chatbot.stores.keyspace import Expiring, Schedule
from chatbot.stores.mailbox import Mailbox
from chatbot.stores.memory_journal import Journal
from chatbot.stores.operators import MOST_GRAVES, Grave, Note, Page, Trace, sought
from chatbot.stores.values import Entry, digest


class MemoryOperators(Store):
    """A part of MemoryStore, which makes what is named here."""

    _boxes: Expiring[str, Mailbox]
    _ids: Expiring[str, int]
    _histories: Expiring[str, dict[str, bytes]]
    _closed: ClosedTurns
    _due: Schedule
    _journal: Journal

    @abstractmethod
    def _step(self) -> AbstractContextManager[int]:
        """Hold the lock, and one time in ms."""

    def trace(self, key: str, item_id: str) -> Trace:
        of = digest(key, item_id)
        with self._step():
            epoch, ttl = self._ids.get(of), self._ids.ttl(of) or 0
            if epoch is None:
                return Trace(digest=of)
            if epoch:
                was = self._closed.result(key, epoch)
                outcome: Any = was.outcome if was else ""
                return Trace(digest=of, epoch=epoch, ttl=ttl, outcome=outcome, owner=was.owner if was else "")
            box = self._boxes.get(key)
            for place, item in enumerate(box.items if box else ()):
                if item.digest == of:
                    return Trace(digest=of, epoch=0, ttl=ttl, place=place, arrived=item.arrived)
            return Trace(digest=of, epoch=0, ttl=ttl)

    def peek(self, key: str) -> list[Entry]:
        with self._step():
            box = self._boxes.get(key)
            return list(box.items) if box else []

    def graves(self, key: str = "") -> list[Grave]:
        with self._step():
            return [replace(grave, entries=()) for grave in self._closed.graves(key)[:MOST_GRAVES]]

    def grave(self, key: str, epoch: int) -> Grave | None:
        with self._step():
            return self._closed.grave(key, epoch)

    def drop(self, key: str, epoch: int) -> int:
        with self._step():
            return len(self._closed.exhume(key, epoch))

    def omit(self, subject: str, entry_ids: Sequence[str]) -> int:
        with self._step():
            history = self._histories.get(subject) or {}
            return sum(history.pop(entry_id, None) is not None for entry_id in entry_ids)

    def note(self, notes: Sequence[Note], most: int, ttl: int) -> None:
        with self._step():
            self._journal.write(notes, most, ttl)

    def journal(self, cursor: str, count: int, *, subject: str = "", name: str = "", erase: bool = False) -> Page:
        with self._step():
            return self._journal.read(cursor, count, *sought(subject, name), erase=erase)

    def tail(self, cursor: str, count: int, back: int = 0) -> Page:
        with self._step():
            return self._journal.tail(cursor, count, back)

    def open_keys(self, count: int) -> list[str]:
        with self._step():
            return self._due.first(count)

"""The verbs for operators, on what a RedisStore keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, cast

from chatbot.stores.base import Store
from chatbot.stores.operators import MOST_GRAVES, Grave, Note, Noted, Page, Trace, sought
from chatbot.stores.partitions import Partitions
from chatbot.stores.redis_errors import wrapped
from chatbot.stores.values import Entry, digest, subject
from chatbot.stores.wire import note_args, read_entry, read_grave, read_trace


class RedisOperators(Store):
    """A part of RedisStore, which makes what is named here."""

    partitions: int
    _ledger: Partitions

    @property
    @abstractmethod
    def client(self) -> Any:
        """The client of this store."""

    def trace(self, key: str, item_id: str) -> Trace:
        of = digest(key, item_id)
        return read_trace(of, self._ledger.call("trace", key, of))

    def peek(self, key: str) -> list[Entry]:
        return [read_entry(raw) for raw in self._list("l:", key, subject(key))]

    def graves(self, key: str = "") -> list[Grave]:
        if key:
            answers = [self._ledger.call("graves", key, MOST_GRAVES)]
        else:
            answers = self._ledger.everywhere("graves", "", MOST_GRAVES)
        found = [read_grave(one) for answer in answers for one in answer]
        return sorted(found, key=lambda grave: (grave.at, grave.epoch), reverse=True)[:MOST_GRAVES]

    def grave(self, key: str, epoch: int) -> Grave | None:
        with wrapped():
            at = self.client.zscore(self._tag(subject(key)) + "dead", f"{key}:{epoch}")
        reason, *items = self._list("d:", f"{key}:{epoch}", subject(key)) or [b""]
        entries = tuple(read_entry(raw) for raw in items)
        if at is None or not entries:
            return None
        return Grave(key=key, epoch=epoch, at=int(at), reason=reason, size=len(entries), entries=entries)

    def drop(self, key: str, epoch: int) -> int:
        return int(self._ledger.call("drop", key, epoch))

    def omit(self, subject: str, entry_ids: Sequence[str]) -> int:
        return int(self._ledger.at(self._ledger.slot(subject), "omit", subject, *entry_ids))

    def note(self, notes: Sequence[Note], most: int, ttl: int) -> None:
        for partition, some in self._ledger.grouped(notes, lambda note: note.subject):
            self._ledger.at(partition, "note", most, ttl, *note_args(some))

    def journal(self, cursor: str, count: int, *, subject: str = "", name: str = "", erase: bool = False) -> Page:
        by, needle = sought(subject, name)
        first = self._ledger.slot(subject) if subject else 0
        partition, _, at = (cursor or f"{first}:").partition(":")
        next_at, found = self._ledger.at(int(partition), "journal", at, count, by, needle, int(erase))
        notes = [Noted(int(when), of.decode(), data) for when, of, data in found]
        if next_at:
            return Page(f"{partition}:{next_at.decode()}", notes)
        following = int(partition) + 1
        return Page(f"{following}:" if not subject and following < self.partitions else "", notes)

    def tail(self, cursor: str, count: int, back: int = 0) -> Page:
        cursors = cursor.split(",") if cursor else [""] * self.partitions
        answers = [self._ledger.at(p, "tail", at, count, back) for p, at in enumerate(cursors)]
        notes = [Noted(int(when), of.decode(), data) for _, found in answers for when, of, data in found]
        return Page(",".join(at.decode() for at, _ in answers), notes)

    def open_keys(self, count: int) -> list[str]:
        found: list[tuple[bytes, float]] = []
        with wrapped():
            for tag in self._ledger.tags:
                found += cast(Any, self.client.zrange(tag + "due", 0, count - 1, withscores=True))
        return [key.decode() for key, _ in sorted(found, key=lambda one: one[1])[:count]]

    def _list(self, kind: str, name: str, subject: str) -> list[bytes]:
        return cast(list[bytes], self._ledger.read("LRANGE", f"{self._tag(subject)}{kind}{name}", 0, -1))

    def _tag(self, subject: str) -> str:
        return self._ledger.tags[self._ledger.slot(subject)]

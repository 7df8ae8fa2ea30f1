"""The journal in memory: notes in order, the newest of them, for a while."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from chatbot.stores.operators import Note, Noted, Page, name_line


class Journal:
    """A list that forgets its beginning. `now` is read in ms."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        #: Serial number, when it was written, when it happened, and the note.
        self._notes: deque[tuple[int, int, int, Note]] = deque()
        self._serial = 0
        self._ttl = 0

    def write(self, notes: Sequence[Note], most: int, ttl: int) -> None:
        """Append notes, and drop what is too many or too old."""
        now, self._ttl = self._now(), ttl
        for note in notes:
            self._serial += 1
            self._notes.append((self._serial, now, now - note.age, note))
        while self._notes and (len(self._notes) > most or self._notes[0][1] < now - ttl):
            self._notes.popleft()

    def read(self, cursor: str, count: int, by: str, needle: str, *, erase: bool) -> Page:
        """Take one step through the notes."""
        oldest = self._now() - self._ttl
        step = list(islice((one for one in self._notes if one[0] > int(cursor or 0) and one[1] >= oldest), count))
        found = [one for one in step if _matches(one[3], by, needle)]
        if erase:
            gone = {one[0] for one in found}
            self._notes = deque(one for one in self._notes if one[0] not in gone)
        notes = [Noted(at, note.subject, note.data) for _, _, at, note in found]
        return Page(str(step[-1][0]) if len(step) == count else "", notes)

    def tail(self, cursor: str, count: int, back: int) -> Page:
        """Return what was written after a cursor, or from `back` notes before the end."""
        oldest, after = self._now() - self._ttl, int(cursor) if cursor else max(0, self._serial - back)
        step = list(islice((one for one in self._notes if one[0] > after), count))
        notes = [Noted(at, note.subject, note.data) for _, written, at, note in step if written >= oldest]
        return Page(str(step[-1][0] if step else after), notes)


def _matches(note: Note, by: str, needle: str) -> bool:
    return note.subject == needle if by == "subject" else f":{needle}:" in name_line(note.names)

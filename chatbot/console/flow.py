"""What happened in the last minutes, as the journal tells it: decisions, rates and latencies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import quantiles

from chatbot.middleware.events import Event, Happened

#: ms that a bar of a chart stands for, and how many bars there are.
SLOT, SLOTS = 5_000, 60
SPAN = SLOT * SLOTS
#: Latencies that one bar is made of at most.
MOST = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What one guarantee decided about the calls of one actor."""

    actor: str
    by: str
    outcomes: dict[str, int]


class Flow:
    """Counts events in slots of time, and forgets those that are older than the charts."""

    def __init__(self, inbox: str, outbox: str) -> None:
        self._inbox, self._outbox = inbox, outbox
        self._counts: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._decisions: defaultdict[int, Counter[tuple[str, str, str]]] = defaultdict(Counter)
        self._latencies: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
        #: Conversations in which something happened, the newest last.
        self._subjects: dict[str, int] = {}
        #: Processes that published or ran something, and when.
        self._workers: dict[str, int] = {}

    def add(self, happened: Iterable[Happened], now: int) -> None:
        """Take events into account."""
        for one in happened:
            if one.at > now - SPAN:
                self._take(one.at, one.event)
        oldest = (now - SPAN) // SLOT
        for slots in (self._counts, self._decisions):
            for slot in [slot for slot in slots if slot < oldest]:
                del slots[slot]
        for place in [place for place in self._latencies if place[0] < oldest]:
            del self._latencies[place]
        self._subjects = {s: at for s, at in self._subjects.items() if at > now - SPAN}
        self._workers = {worker: at for worker, at in self._workers.items() if at > now - SPAN}

    def _take(self, at: int, event: Event) -> None:
        slot, mailbox = at // SLOT, event.key.partition("/")[0]
        if event.what in ("published", "began", "ended"):
            self._workers[event.worker] = at
        if event.what == "decided":
            self._decisions[slot][event.actor, event.by, event.outcome] += 1
            if event.actor == self._inbox:
                self._counts[slot][event.outcome] += 1
                subject = event.key.partition("/")[2]
                self._subjects.pop(subject, None)
                self._subjects[subject] = at
        elif event.what == "ended":
            name = {self._inbox: "turn", self._outbox: "reply"}.get(mailbox, "other")
            self._counts[slot][f"{name} {event.outcome}"] += 1
            latencies = self._latencies[slot, name]
            if event.outcome == "settled" and len(latencies) < MOST:
                # An epoch is the time at which its turn was formed, in us.
                latencies.append(max(0, at - event.epoch // 1000))

    def series(self, now: int, *names: str) -> list[int]:
        """Return how often these things happened, slot by slot, the newest last."""
        return [sum(self._counts[slot][name] for name in names) if slot in self._counts else 0 for slot in _slots(now)]

    def latencies(self, now: int, name: str) -> list[int]:
        """Return the median latency (ms) of each slot, the newest last; 0 where nothing ended."""
        found = (self._latencies.get((slot, name), []) for slot in _slots(now))
        return [sorted(some)[len(some) // 2] if some else 0 for some in found]

    def percentiles(self, name: str) -> tuple[int, int] | None:
        """Return the median and the 95th percentile (ms) of all that is known."""
        found = [one for (_, kind), some in self._latencies.items() if kind == name for one in some]
        if not found:
            return None
        if len(found) == 1:
            return found[0], found[0]
        hundredths = quantiles(found, n=100, method="inclusive")
        return round(hundredths[49]), round(hundredths[94])

    def decisions(self) -> list[Decided]:
        """Return what the guards decided, by actor and guarantee."""
        totals: Counter[tuple[str, str, str]] = Counter()
        for some in self._decisions.values():
            totals.update(some)
        found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
        for (actor, by, outcome), number in sorted(totals.items()):
            found[actor, by][outcome] = number
        return [Decided(actor=actor, by=by, outcomes=outcomes) for (actor, by), outcomes in found.items()]

    def workers(self) -> list[tuple[str, int]]:
        """Return the worker processes that did something, and when (ms)."""
        return sorted(self._workers.items())

    def conversations(self, most: int) -> Iterator[tuple[str, int]]:
        """Return the conversations in which something was said last, the newest first, and when (ms)."""
        yield from list(reversed(self._subjects.items()))[:most]


def _slots(now: int) -> range:
    last = now // SLOT
    return range(last - SLOTS + 1, last + 1)

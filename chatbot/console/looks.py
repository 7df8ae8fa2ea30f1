"""What the operations page shows, collected once for all who look on: of the ledger, and of the broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from chatbot.admin.language import mark
from chatbot.console.charts import Latencies, Rates, bars
from chatbot.console.flow import SLOT, Decided, Flow
from chatbot.dashboard.look import Counts, Look, Seen
from chatbot.decoding import decoder
from chatbot.middleware.events import Event, Happened
from chatbot.service import Service
from chatbot.stores.values import MailboxState

#: Open conversations that are shown.
MOST = 40
#: Notes of the journal that a first look goes back, the calls of one step, and the steps of one look.
BACK, STEP, STEPS = 5_000, 100, 20
#: ms after which a look is a first look again.
STALE = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A mailbox that is not idle."""

    subject: str
    state: MailboxState


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLook:
    """The ledger at one moment. Times are in ms, of the store's clock."""

    now: int
    open: int
    running: int
    dead: int
    overdue: int
    windows: list[Open] = field(default_factory=list)
    turns: list[Open] = field(default_factory=list)
    replies: list[Open] = field(default_factory=list)
    listed: int = 0
    charts: list[Rates | Latencies] = field(default_factory=list)
    decisions: list[Decided] = field(default_factory=list)
    recent: list[tuple[str, int]] = field(default_factory=list)
    workers: list[tuple[str, int]] = field(default_factory=list)
    behind: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLook:
    """The broker at one moment."""

    queues: list[Counts]
    workers: list[Seen]


class LedgerLooks:
    """Looks into the ledger, and goes on with the journal where the look before it ended."""

    def __init__(self, service: Service) -> None:
        self._service, self._store = service, service.store
        self._inbox, self._outbox = service.actors.process_turn.actor_name, service.actors.deliver_replies.actor_name
        self._flow, self._cursor, self._at, self._behind = Flow(self._inbox, self._outbox), "", 0, False

    def look(self) -> LedgerLook:
        """Look. Raises StoreUnavailable."""
        surveys, keys = self._store.survey(), self._store.open_keys(MOST)
        states = {key: self._store.inspect(key) for key in keys}
        now = next((state.now for state in states.values()), 0) or self._store.inspect("console/").now
        self._follow(now)
        due = [one.oldest_due_in for one in surveys if one.oldest_due_in is not None]
        return LedgerLook(
            now=now,
            open=sum(one.open for one in surveys),
            running=sum(one.running for one in surveys),
            dead=sum(one.dead for one in surveys),
            overdue=max(0, -min(due, default=0)),
            windows=[one for one in _of(states, self._inbox) if one.state.state == "accumulating"],
            turns=[one for one in _of(states, self._inbox) if one.state.size],
            replies=list(_of(states, self._outbox)),
            listed=len(keys),
            charts=_charts(self._flow, now),
            decisions=self._flow.decisions(),
            recent=list(self._flow.conversations(MOST)),
            workers=self._flow.workers(),
            behind=self._behind,
        )

    def _follow(self, now: int) -> None:
        """Read what the journal says since the last look; what is too much for one look is left out."""
        if now - self._at > STALE:
            self._flow, self._cursor = Flow(self._inbox, self._outbox), ""
        self._at, self._behind = now, True
        for _ in range(STEPS):
            page = self._store.tail(self._cursor, STEP, BACK)
            self._cursor = page.cursor
            if not page.notes:
                self._behind = False
                return
            told = (Happened(note.at, decoder(Event).decode(note.data)) for note in page.notes)
            self._flow.add(told, now)
        self._cursor = self._store.tail("", STEP).cursor


def _of(states: dict[str, MailboxState], mailbox: str) -> Iterator[Open]:
    for key, state in states.items():
        name, _, subject = key.partition("/")
        if name == mailbox and state.state != "idle":
            yield Open(subject=subject, state=state)


def broker_look(look: Look) -> BrokerLook:
    """Look into the broker. Raises BrokerConnectionError."""
    return BrokerLook(queues=look.queues(), workers=look.workers())


# --- charts ---
def _charts(flow: Flow, now: int) -> list[Rates | Latencies]:
    accepted = flow.series(now, "absorbed", "enqueued", "amended", "withdrawn", "joined", "late")
    suppressed = flow.series(now, "duplicate", "overflow")
    failed = flow.series(now, "turn kept", "turn buried", "turn split", "turn refused")
    unsent = flow.series(now, "reply kept", "reply buried", "reply refused")
    return [
        _rates(mark("Messages"), mark("accepted"), ("good", accepted)),
        _rates(mark("Turns"), mark("settled"), ("good", flow.series(now, "turn settled")), ("bad", failed)),
        _rates(mark("Replies"), mark("sent"), ("good", flow.series(now, "reply settled")), ("bad", unsent)),
        _rates(mark("Suppressed"), mark("duplicates, and what was too much"), ("warn", suppressed)),
        _latencies(mark("Answer time"), mark("from the end of a burst to its settled turn"), flow, now, "turn"),
        _latencies(mark("Delivery time"), mark("from a settled turn to its sent reply"), flow, now, "reply"),
    ]


def _rates(title: str, what: str, *numbers: tuple[str, list[int]]) -> Rates:
    """The first row is what is meant to happen, the second are attempts that failed."""
    rows, highest = bars(*numbers)
    total, *failed = (sum(values) for _, values in numbers)
    return Rates(title=title, what=what, rows=rows, peak=highest / (SLOT / 1000), total=total, failed=sum(failed))


def _latencies(title: str, what: str, flow: Flow, now: int, name: str) -> Latencies:
    rows, highest = bars(("wait", flow.latencies(now, name)))
    return Latencies(title=title, what=what, rows=rows, peak=highest, percentiles=flow.percentiles(name))

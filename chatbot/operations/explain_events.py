"""Events and facts as lines of a story."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from chatbot.middleware.dead_letters import DeadLetter
from chatbot.middleware.events import Event, Happened
from chatbot.operations.times import count
from chatbot.stores.base import MailboxState
from chatbot.stores.operators import Trace


class Line(Struct, frozen=True, kw_only=True):
    """One step: when (ms since 1970), what, and by which source: the ledger, or the journal. `said` is the text of an
    error, which may quote what somebody wrote."""

    at: int
    text: str
    source: str = "journal"
    said: str | None = None


def of_item(told: Sequence[Happened], key: str, item_id: str, trace: Trace) -> list[Happened]:
    """Return what is about an item: its decisions, and the turns that it was in."""
    of_key = [one for one in told if one.event.key == key]
    epochs = {e.epoch for one in of_key if trace.digest in (e := one.event).members} | {trace.epoch}
    turns = [one for one in of_key if one.event.epoch in epochs]
    started = min((one.at for one in turns), default=math.inf)
    ended = max((one.at for one in turns if one.event.outcome in _OVER), default=math.inf)

    def concerns(one: Happened) -> bool:
        event = one.event
        if event.what == "decided":
            return item_id in (event.item_id, event.of)
        if event.what == "lost":
            return started <= one.at <= ended  # it does not say of which turn
        return event.epoch in epochs

    return [one for one in of_key if concerns(one)]


def in_order(lines: Iterable[Line], *, show_text: bool) -> list[Line]:
    """Return lines by time, without what errors said unless asked for it."""
    shown = [line if show_text else _without_text(line) for line in lines]
    return sorted(shown, key=lambda line: line.at)


def _without_text(line: Line) -> Line:
    return Line(at=line.at, text=line.text, source=line.source)


def line(one: Happened, prefix: str = "", item_id: str = "") -> Line:
    """Return an event in words, from the point of view of an item if one is given."""
    event, said = one.event, one.event.said or None
    changed = _CHANGED.get(event.outcome) if item_id and event.of == item_id != event.item_id else None
    return Line(at=one.at, text=prefix + (changed or _WORDS[event.what](event)), said=said)


def facts(trace: Trace, state: MailboxState) -> Iterator[Line]:
    """Tell what the ledger says itself."""
    if trace.arrived is not None and trace.place is not None:
        in_turn = trace.place < state.size
        where = "of the open turn" if in_turn else "behind the turn" if state.size else "of the open window"
        place = trace.place if in_turn else trace.place - state.size
        yield Line(at=trace.arrived, text=f"arrived; it is number {place + 1} {where}", source="ledger")
    # An epoch is the time at which its turn was formed, in us.
    if epoch := trace.epoch if trace.epoch and trace.epoch > 0 else state.epoch if _in_turn(trace, state) else None:
        yield Line(at=epoch // 1000, text=f"the window closed: turn {epoch} was formed", source="ledger")
    if _in_turn(trace, state) and state.owner:
        yield Line(at=state.now, text=f"runs now, {state.lease_in} ms of its lease are left", source="ledger")
    elif _in_turn(trace, state) and state.hold_in:
        yield Line(at=state.now, text=f"backs off for {state.hold_in} ms more", source="ledger")
    elif trace.place is not None and not _in_turn(trace, state) and not state.size and state.due_in is not None:
        yield Line(at=state.now, text=f"the window closes in {max(0, state.due_in)} ms", source="ledger")


def _in_turn(trace: Trace, state: MailboxState) -> bool:
    return trace.place is not None and trace.place < state.size


def of_letter(letter: DeadLetter) -> Line:
    """Tell of an ordinary message that was given up."""
    tried = f"given up by {letter.worker} after {count(letter.attempts, 'attempt')}"
    text = f"{tried}: see `chatbot dead show {letter.message_id}`"
    return Line(at=letter.last_at, text=text, said=letter.error)


def _decided(event: Event) -> str:
    if event.outcome == "absorbed":
        return f"accepted into the window of {event.key} (Dramatiq message {event.message_id})"
    if event.outcome == "duplicate" and event.item_id:
        # Of an edit that was made before, it names the edit's message.
        settled = f"turn {event.of} had settled it" if event.of.isdecimal() else "it was made before"
        original = settled if event.of else "its original was open"
        return f"came again, and was suppressed: {original} (Dramatiq message {event.message_id})"
    if event.outcome == "duplicate":
        return f"{event.message_id} was suppressed as {event.by}: it repeats {event.of or 'a call before it'}"
    if event.outcome == "overflow":
        return "refused: too much waits in this conversation; its sender was asked to send it again"
    if event.outcome in _CHANGES:
        return f"{_CHANGES[event.outcome]} (Dramatiq message {event.message_id})"
    return f"{event.message_id} was {event.outcome} ({event.by}, {event.actor})"


#: What an edit or a deletion was told, and what its message is told of it.
_CHANGES = {
    "amended": "came as an edit of a message that still waited, and has taken its place",
    "withdrawn": "came as a deletion of a message that still waited, and has taken it out",
    "late": "came as a deletion, and was ignored: its message was in a turn already, or never here",
}
_CHANGED = {
    "amended": "an edit has taken its place in the window",
    "withdrawn": "a deletion has taken it out of the window: nobody is asked about it",
    "late": "a deletion came too late, and was ignored",
    "absorbed": "an edit came when its turn had been formed, so it is a message of its own",
    "duplicate": "an edit or a deletion of it came again, and was suppressed",
    "overflow": "an edit of it was refused: too much waits in this conversation",
}


_BEGAN = {
    "new": "an attempt began on {worker}, with {items}",
    "taken": "an attempt began on {worker}: the worker before it had lost its lease",
    "mine": "the same delivery asked again on {worker}",
    "busy": "a second copy of its message was dropped on {worker}: another worker runs the turn, or it backs off",
    "done": "a late copy of its message was dropped on {worker}: the turn is settled",
    "buried": "a late copy of its message was dropped on {worker}: the turn is a dead letter",
    "stale": "a stale copy of its message was dropped on {worker}",
}


def _began(event: Event) -> str:
    return f"turn {event.epoch}: " + _BEGAN[event.outcome].format(worker=event.worker, items=count(event.size, "item"))


#: What a turn does not go on after.
_OVER = ("settled", "buried")
_ENDED = {
    "settled": "settled",
    "buried": "given up: it is a dead letter",
    "kept": "the attempt failed, another one follows",
    "split": "the attempt failed; its messages are tried in two halves",
    "refused": "the attempt had lost its lease, so what it did is discarded",
}


def _ended(event: Event) -> str:
    left = f", with {count(len(event.follow_ups), 'reply')}" if event.follow_ups else ""
    error = f" ({event.error})" if event.error else ""
    return f"turn {event.epoch}: {_ENDED[event.outcome]}{error}{left}"


def _published(event: Event) -> str:
    return f"turn {event.epoch}: handed to the broker"


def _lost(event: Event) -> str:
    return f"a run on {event.worker} lost its lease"


_WORDS: dict[str, Callable[[Event], str]] = {
    "decided": _decided,
    "published": _published,
    "began": _began,
    "ended": _ended,
    "lost": _lost,
}

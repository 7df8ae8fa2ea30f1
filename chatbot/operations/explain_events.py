"""Events and facts as lines of a story."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec import Struct

from chatbot.middleware.dead_letters import DeadLetter
from chatbot.middleware.events import Event, Happened
from chatbot.operations.sentences import Number, Sentence
from chatbot.stores.operators import Trace
from chatbot.stores.values import MailboxState


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


def line(one: Happened, *, reply: str = "", item_id: str = "") -> Line:
    """Return an event in words: of the delivery of a reply, or from the point of view of an item, if one is given."""
    event, said = one.event, one.event.said or None
    changed = _CHANGED.get(event.outcome) if item_id and event.of == item_id != event.item_id else None
    told = Sentence(changed) if changed else _WORDS[event.what](event)
    return Line(
        at=one.at, text=Sentence("reply %(number)s: %(told)s", number=reply, told=told) if reply else told, said=said
    )


def facts(trace: Trace, state: MailboxState) -> Iterator[Line]:
    """Tell what the ledger says itself."""
    if trace.arrived is not None and trace.place is not None:
        in_turn = trace.place < state.size
        where = _PLACES["turn" if in_turn else "behind" if state.size else "window"]
        place = trace.place if in_turn else trace.place - state.size
        yield Line(at=trace.arrived, text=Sentence(where, place=place + 1), source="ledger")
    # An epoch is the time at which its turn was formed, in us.
    if epoch := trace.epoch if trace.epoch and trace.epoch > 0 else state.epoch if _in_turn(trace, state) else None:
        yield Line(
            at=epoch // 1000,
            text=Sentence("the window closed: turn %(epoch)s was formed", epoch=epoch),
            source="ledger",
        )
    if _in_turn(trace, state) and state.owner:
        told = Sentence("runs now, %(ms)s ms of its lease are left", ms=state.lease_in)
        yield Line(at=state.now, text=told, source="ledger")
    elif _in_turn(trace, state) and state.hold_in:
        yield Line(at=state.now, text=Sentence("backs off for %(ms)s ms more", ms=state.hold_in), source="ledger")
    elif trace.place is not None and not _in_turn(trace, state) and not state.size and state.due_in is not None:
        yield Line(
            at=state.now, text=Sentence("the window closes in %(ms)s ms", ms=max(0, state.due_in)), source="ledger"
        )


_PLACES = {
    "turn": "arrived; it is number %(place)s of the open turn",
    "behind": "arrived; it is number %(place)s behind the turn",
    "window": "arrived; it is number %(place)s of the open window",
}


def _in_turn(trace: Trace, state: MailboxState) -> bool:
    return trace.place is not None and trace.place < state.size


def of_letter(letter: DeadLetter) -> Line:
    """Tell of an ordinary message that was given up."""
    text = Sentence(
        "given up by %(worker)s after %(attempts)s: see `chatbot dead show %(id)s`",
        worker=letter.worker,
        attempts=Number(letter.attempts, "attempt"),
        id=letter.message_id,
    )
    return Line(at=letter.last_at, text=text, said=letter.error)


def _decided(event: Event) -> str:
    message = event.message_id
    if told := _of_message(event):
        return Sentence("%(told)s (Dramatiq message %(message)s)", told=told, message=message)
    if event.outcome == "overflow":
        return Sentence("refused: too much waits in this conversation; its sender was asked to send it again")
    if event.outcome == "duplicate":
        return Sentence(
            "%(message)s was suppressed as %(by)s: it repeats %(repeated)s",
            message=message,
            by=event.by,
            repeated=event.of or Sentence("a call before it"),
        )
    return Sentence(
        "%(message)s was %(outcome)s (%(by)s, %(actor)s)",
        message=message,
        outcome=event.outcome,
        by=event.by,
        actor=event.actor,
    )


def _of_message(event: Event) -> Sentence | None:
    """Tell of what came through a webhook."""
    if event.outcome == "absorbed":
        return Sentence("accepted into the window of %(key)s", key=event.key)
    if event.outcome == "duplicate" and event.item_id:
        # Of an edit that was made before, it names the edit's message.
        original = "settled" if event.of.isdecimal() else "made" if event.of else "open"
        return Sentence(_REPEATS[original], turn=event.of)
    return Sentence(_CHANGES[event.outcome]) if event.outcome in _CHANGES else None


_REPEATS = {
    "settled": "came again, and was suppressed: turn %(turn)s had settled it",
    "made": "came again, and was suppressed: it was made before",
    "open": "came again, and was suppressed: its original was open",
}


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
    "new": "turn %(epoch)s: an attempt began on %(worker)s, with %(items)s",
    "taken": "turn %(epoch)s: an attempt began on %(worker)s: the worker before it had lost its lease",
    "mine": "turn %(epoch)s: the same delivery asked again on %(worker)s",
    "busy": "turn %(epoch)s: a second copy of its message was dropped on %(worker)s: another worker runs the turn, "
    "or it backs off",
    "done": "turn %(epoch)s: a late copy of its message was dropped on %(worker)s: the turn is settled",
    "buried": "turn %(epoch)s: a late copy of its message was dropped on %(worker)s: the turn is a dead letter",
    "stale": "turn %(epoch)s: a stale copy of its message was dropped on %(worker)s",
}


def _began(event: Event) -> str:
    items = Number(event.size, "item")
    return Sentence(_BEGAN[event.outcome], epoch=event.epoch, worker=event.worker, items=items)


#: What a turn does not go on after.
_OVER = ("settled", "buried")
_ENDED = {
    "settled": "turn %(epoch)s: settled",
    "buried": "turn %(epoch)s: given up: it is a dead letter",
    "kept": "turn %(epoch)s: the attempt failed, another one follows",
    "split": "turn %(epoch)s: the attempt failed; its messages are tried in two halves",
    "refused": "turn %(epoch)s: the attempt had lost its lease, so what it did is discarded",
}


def _ended(event: Event) -> str:
    told = Sentence(_ENDED[event.outcome], epoch=event.epoch)
    if event.error:
        told = Sentence("%(told)s (%(error)s)", told=told, error=event.error)
    if event.follow_ups:
        told = Sentence("%(told)s, with %(replies)s", told=told, replies=Number(len(event.follow_ups), "reply"))
    return told


def _published(event: Event) -> str:
    return Sentence("turn %(epoch)s: handed to the broker", epoch=event.epoch)


def _lost(event: Event) -> str:
    return Sentence("a run on %(worker)s lost its lease", worker=event.worker)


_WORDS: dict[str, Callable[[Event], str]] = {
    "decided": _decided,
    "published": _published,
    "began": _began,
    "ended": _ended,
    "lost": _lost,
}

"""What is wrong with what happened: replies that are missing, doubled or out of order, and bursts that were split."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from chatbot.operations.simulate.record import Played, Received, Talk, Turn, turns_of, unique

Kind = Literal["unaccepted", "missing", "doubled", "split", "order"]
Told = Iterator[tuple[Kind, str]]


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that must not happen. `burst` counts from 1."""

    conversation_id: str
    burst: int
    kind: Kind
    detail: str


class Expected(Struct, frozen=True, kw_only=True):
    """The service's times, in s: it answers a burst after `wait` without a new message, and after `max_wait` anyway;
    and how long we waited for a reply."""

    wait: float
    max_wait: float
    timeout: float

    def together(self, played: Played) -> bool:
        """Say whether a burst was played quickly enough to be sure that it is one turn."""
        return played.widest < self.wait and played.length < self.max_wait


def faults(talk: Talk, expected: Expected) -> list[Fault]:
    """Return what is wrong with one conversation. A burst that was interrupted may still lack replies."""
    turns, found = turns_of(talk), []
    for place, played in enumerate(talk.played):
        own = [turn for turn in turns if turn.burst == place]
        told = [*_missing(played, own, expected), *_doubled(own), *_split(played, own, expected), *_order(own)]
        found += [
            Fault(conversation_id=talk.conversation_id, burst=place + 1, kind=kind, detail=detail)
            for kind, detail in told
        ]
    return found + _bursts_out_of_order(talk, turns)


def too_slow(talk: Talk, expected: Expected) -> int:
    """Return how many bursts were played too slowly to know how many turns they should be."""
    return sum(not expected.together(played) for played in talk.played)


def _missing(played: Played, turns: Sequence[Turn], expected: Expected) -> Told:
    if played.refusal:
        yield "unaccepted", f"the service did not take a message within {expected.timeout:g} s: {played.refusal}"
    elif not played.finished:
        return
    elif not turns:
        yield "missing", f"no reply within {expected.timeout:g} s"
    elif left := _unanswered(played, turns):
        yield "missing", f"{_messages(left)} in no reply within {expected.timeout:g} s"
    for turn in turns:
        there = {reply.position for reply in turn.replies if reply.position is not None}
        if gaps := set(range(max(there, default=0))) - there:
            yield "missing", f"turn {_short(turn)} has no reply at position {', '.join(map(str, sorted(gaps)))}"


def _unanswered(played: Played, turns: Sequence[Turn]) -> list[int]:
    told = [turn.messages for turn in turns if turn.messages is not None]
    if len(told) < len(turns):
        return []  # replies in words of their own do not tell what they answer
    return sorted(set(played.burst.texts) - {number for messages in told for number in messages})


def _doubled(turns: Sequence[Turn]) -> Told:
    for turn in turns:
        for reply_id, times in Counter(reply.reply_id for reply in turn.replies).items():
            if times > 1:
                yield "doubled", f"reply {reply_id} came {times} times"
        places = Counter(reply.position for reply in unique(turn.replies) if reply.position is not None)
        for place, times in places.items():
            if times > 1:
                yield "doubled", f"turn {_short(turn)} has {times} different replies at position {place}"
    if again := _answered_again(turns):
        yield "doubled", f"{_messages(again)} answered by {len(turns)} turns"
    nameless = Counter(turn.replies[0].text for turn in turns if turn.turn_id is None)
    if not again and (most := max(nameless.values(), default=0)) > 1:
        yield "doubled", f"the same text came {most} times"


def _answered_again(turns: Sequence[Turn]) -> list[int]:
    times = Counter(number for turn in turns for number in set(turn.messages or ()))
    return sorted(number for number, count in times.items() if count > 1)


def _split(played: Played, turns: Sequence[Turn], expected: Expected) -> Told:
    named = [turn for turn in turns if turn.turn_id is not None or turn.messages is not None]
    if len(named) > 1 and expected.together(played) and not _answered_again(named):
        yield (
            "split",
            f"became {len(named)} turns, although its messages came within {played.widest:.2f} s of each other "
            f"and the quiet time is {expected.wait:g} s",
        )


def _order(turns: Sequence[Turn]) -> Told:
    for turn in turns:
        places = [reply.position for reply in unique(turn.replies) if reply.position is not None]
        if places != sorted(places):
            yield "order", f"the replies of turn {_short(turn)} came at positions {', '.join(map(str, places))}"
        if turn.messages is not None and list(turn.messages) != sorted(turn.messages):
            yield "order", f"turn {_short(turn)} has its messages in the order {', '.join(map(str, turn.messages))}"
    for one, other in itertools.pairwise(turns):
        if _first(other) < _last(one):
            yield "order", f"replies of turn {_short(other)} came between those of turn {_short(one)}"


def _bursts_out_of_order(talk: Talk, turns: Sequence[Turn]) -> list[Fault]:
    found = []
    for before, after in itertools.pairwise(turns):
        if after.burst < before.burst:
            detail = f"a reply to burst {after.burst + 1} came after one to burst {before.burst + 1}"
            found.append(
                Fault(conversation_id=talk.conversation_id, burst=after.burst + 1, kind="order", detail=detail)
            )
    return found


def _first(turn: Turn) -> float:
    return turn.replies[0].at


def _last(turn: Turn) -> float:
    replies: list[Received] = unique(turn.replies)
    return replies[-1].at


def _messages(numbers: Sequence[int]) -> str:
    return f"message{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _short(turn: Turn) -> str:
    return (turn.turn_id or turn.replies[0].reply_id)[:12]

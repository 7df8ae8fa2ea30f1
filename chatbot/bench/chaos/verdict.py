"""What came of it: which accepted messages were lost, which turns doubled, which replies out of order.

A turn is completed when all its replies have come. A reply that came again with the same id is no doubled turn: it is
the one ambiguity that a provider without idempotency leaves, between the send and its record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from chatbot.bench.chaos.traffic import Sent, Traffic
from chatbot.bench.partners import Partners, Seen

#: s by which clocks of one machine, read at its two ends, may differ.
ROUNDING = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Every list names what is wrong, but `repeated`: ids of replies that came more than once."""

    accepted: int
    turns: int
    replies: int
    lost: list[str]
    doubled: list[str]
    reordered: list[str]
    early: list[str]
    wrong: list[str]
    repeated: list[str]

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.reordered or self.early or self.wrong)


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn as the responder was asked about it first, and its replies, each as it came first."""

    turn_id: str
    conversation: str
    asked: float
    members: tuple[str, ...]
    replies: tuple[Seen, ...]


def answer(turn: Mapping[str, Any]) -> list[str]:
    """Answer a turn, as a responder: a reply for each message, three at most, so that there is an order to keep."""
    return [f"{part}: {len(turn['messages'])} messages" for part in range(min(len(turn["messages"]), 3))]


def completed(partners: Partners) -> list[Turn]:
    """Return the turns whose replies have all come, in the order of their first reply."""
    replies: dict[str, dict[str, Seen]] = {}
    for seen in list(partners.received):
        replies.setdefault(seen.body["turn_id"], {}).setdefault(seen.body["reply_id"], seen)
    asked: dict[str, Seen] = {}
    for seen in list(partners.asked):
        asked.setdefault(seen.body["turn_id"], seen)
    turns = [_turn(asked[turn_id], came) for turn_id, came in replies.items() if turn_id in asked]
    return [turn for turn in turns if len(turn.replies) >= len(answer(asked[turn.turn_id].body))]


def unanswered(traffic: Traffic, partners: Partners) -> set[str]:
    """Return the accepted messages that are in no completed turn."""
    answered = {member for turn in completed(partners) for member in turn.members}
    return {sent.message_id for sent in traffic.sent.values() if sent.accepted} - answered


def judge(traffic: Traffic, partners: Partners, *, wait: float, max_wait: float) -> Verdict:
    """Judge what came. `wait` and `max_wait` are the service's times, in s."""
    turns, known = completed(partners), traffic.sent
    times = Counter(seen.body["reply_id"] for seen in partners.received)
    return Verdict(
        accepted=sum(1 for sent in known.values() if sent.accepted),
        turns=len(turns),
        replies=len(times),
        lost=sorted(unanswered(traffic, partners)),
        doubled=[*_in_two_turns(turns), *_of_two_kinds(partners), *_too_many_replies(turns)],
        reordered=[told for name, talk in traffic.talks.items() for told in _out_of_order(talk, _of(turns, name))],
        early=[turn.turn_id for turn in turns if _early(turn, known, wait, max_wait)],
        wrong=list(traffic.wrong),
        repeated=[reply_id for reply_id, count in times.items() if count > 1],
    )


def interleaved(partners: Partners) -> list[str]:
    """Return the turns that the responder was asked about again after a later turn of their conversation: where
    processes only die, and none is paused, there is none."""
    last: dict[str, str] = {}
    over: set[str] = set()
    found = []
    for seen in list(partners.asked):
        turn_id, conversation = seen.body["turn_id"], seen.body["conversation_id"]
        if turn_id in over:
            found.append(turn_id)
        if (before := last.get(conversation)) not in (None, turn_id):
            over.add(str(before))
        last[conversation] = turn_id
    return found


def _turn(asked: Seen, replies: Mapping[str, Seen]) -> Turn:
    members = tuple(str(message["message_id"]) for message in asked.body["messages"])
    conversation = str(asked.body["conversation_id"])
    return Turn(asked.body["turn_id"], conversation, asked.at, members, tuple(replies.values()))


def _of(turns: Sequence[Turn], conversation: str) -> list[Turn]:
    return [turn for turn in turns if turn.conversation == conversation]


def _in_two_turns(turns: Sequence[Turn]) -> Iterator[str]:
    times = Counter(member for turn in turns for member in turn.members)
    yield from (f"{member} is in {count} turns" for member, count in times.items() if count > 1)


def _of_two_kinds(partners: Partners) -> Iterator[str]:
    """Yield turns that the responder saw with different members: then what it answered is not about one of them."""
    seen: dict[str, Any] = {}
    for asked in list(partners.asked):
        members = [message["message_id"] for message in asked.body["messages"]]
        if seen.setdefault(asked.body["turn_id"], members) != members:
            yield f"turn {asked.body['turn_id']} was asked about with different members"


def _too_many_replies(turns: Sequence[Turn]) -> Iterator[str]:
    for turn in turns:
        places = sorted(reply.body["position"] for reply in turn.replies)
        if places != list(range(len(answer({"messages": turn.members})))):
            yield f"turn {turn.turn_id} has replies at {places}"


def _out_of_order(talk: Sequence[Sent], turns: Sequence[Turn]) -> Iterator[str]:
    """Yield turns that do not follow the one before, and those whose messages or replies are mixed."""
    arrival = {sent.message_id: place for place, sent in enumerate(talk)}
    number = {sent.message_id: sent.number for sent in talk}
    for turn in turns:
        if [number[member] for member in turn.members] != sorted(number[member] for member in turn.members):
            yield f"turn {turn.turn_id} has its messages in the order {turn.members}"
        places = [reply.body["position"] for reply in turn.replies]
        if places != sorted(places):
            yield f"the replies of turn {turn.turn_id} came in the order {places}"
    for one, other in pairwise(turns):
        if max(arrival[member] for member in one.members) > min(arrival[member] for member in other.members):
            yield f"turn {other.turn_id} was answered after {one.turn_id}, whose messages came later"
        if one.replies[-1].at > other.replies[0].at:
            yield f"replies of {other.turn_id} came between those of {one.turn_id}"


def _early(turn: Turn, known: Mapping[str, Sent], wait: float, max_wait: float) -> bool:
    """Say whether a turn ran before its window can have been due; a message is in the ledger after it was sent."""
    sent = [known[member].first for member in turn.members]
    return turn.asked < min(max(sent) + wait, min(sent) + max_wait) - ROUNDING

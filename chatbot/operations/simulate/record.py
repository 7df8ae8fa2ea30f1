"""What happened: what was delivered, what was received, and the turns that the replies tell of."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from chatbot.operations.simulate.plan import Burst, Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A delivery that was answered with 2xx. Times are monotonic, in s; `attempts` counts POSTs."""

    delivery: Delivery
    sent: float
    answered: float
    outcome: str
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A reply that came, as often as it came. WhatsApp's may not say which turn they are of."""

    reply_id: str
    turn_id: str | None
    position: int | None
    text: str
    at: float


@dataclass(slots=True, kw_only=True)
class Played:
    """A burst as it was played. `refusal` is why the service did not take one of its deliveries."""

    burst: Burst
    started: float
    delivered: list[Delivered] = field(default_factory=list)
    refusal: str = ""
    finished: bool = False

    @property
    def last_sent(self) -> float:
        """When its last new message was sent (or when it began)."""
        return max((done.sent for done in self._new()), default=self.started)

    @property
    def widest(self) -> float:
        """The most time (s) that can have passed for the service between two new messages."""
        return max((after.answered - before.sent for before, after in itertools.pairwise(self._new())), default=0.0)

    @property
    def length(self) -> float:
        """The most time (s) that can have passed for the service from its first message to its last."""
        new = self._new()
        return new[-1].answered - new[0].sent if new else 0.0

    def _new(self) -> list[Delivered]:
        return [done for done in self.delivered if not done.delivery.repeat]


@dataclass(slots=True, kw_only=True)
class Talk:
    """One conversation: what is planned, what was played of it, what came back. `news` is set at each reply."""

    conversation_id: str
    planned: tuple[Burst, ...]
    played: list[Played] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def texts(self) -> dict[int, str]:
        """Everything that is said in it, by number."""
        return {number: text for burst in self.planned for number, text in burst.texts.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The replies with one turn id, in order of receipt, and the burst (from 0) that they answer. `messages` are the
    numbers that the replies repeat, as the echo responder's do; None where they do not."""

    turn_id: str | None
    burst: int
    messages: tuple[int, ...] | None
    replies: tuple[Received, ...]


def turns_of(talk: Talk) -> list[Turn]:
    """Return the turns that the replies of a conversation tell of, in order of their first reply."""
    groups: dict[str, list[Received]] = {}
    for reply in talk.received:
        groups.setdefault(reply.turn_id or reply.reply_id, []).append(reply)
    return [_turn(talk, replies) for replies in groups.values()]


def unique(replies: Sequence[Received]) -> list[Received]:
    """Return each reply once, as it came first."""
    first: dict[str, Received] = {}
    for reply in replies:
        first.setdefault(reply.reply_id, reply)
    return list(first.values())


def _turn(talk: Talk, replies: list[Received]) -> Turn:
    in_place = sorted(unique(replies), key=lambda reply: reply.position or 0)
    messages = _echoed(talk, in_place)
    burst = _burst_of(talk, messages, replies[0].at)
    return Turn(turn_id=replies[0].turn_id, burst=burst, messages=messages, replies=tuple(replies))


def _echoed(talk: Talk, replies: Sequence[Received]) -> tuple[int, ...] | None:
    numbers = {text: number for number, text in talk.texts.items()}
    lines = [line for reply in replies for line in reply.text.splitlines() if line.strip()]
    if not lines or not all(line in numbers for line in lines):
        return None
    return tuple(numbers[line] for line in lines)


def _burst_of(talk: Talk, messages: Sequence[int] | None, at: float) -> int:
    if messages:
        return next(i for i, burst in enumerate(talk.planned) if min(messages) in burst.texts)
    begun = [i for i, played in enumerate(talk.played) if played.started <= at]
    return begun[-1] if begun else 0

"""What a simulation found, as a record for programs; its words for people are in simulate_words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from chatbot.operations.simulate.provider import Provider
from chatbot.operations.simulate.record import Played, Talk, Turn, turns_of, unique
from chatbot.operations.simulate.verdict import Expected, Fault, faults, too_slow


class Message(Struct, frozen=True, kw_only=True):
    """One message that went in."""

    message_id: str
    text: str


class DeliveryReport(Struct, frozen=True, kw_only=True):
    """One delivery that was taken: `at` is in s from the start of its burst; `outcome` is what the service answered."""

    message_id: str
    repeat: bool
    late: bool
    outcome: str
    attempts: int
    at: float


class ReplyReport(Struct, frozen=True, kw_only=True):
    """One reply that came, `times` times, first `after` s after the last new message of its burst."""

    reply_id: str
    position: int | None
    text: str
    times: int
    after: float


class TurnReport(Struct, frozen=True, kw_only=True):
    """One turn that replies tell of; `messages` are those that it repeats, or null if it has words of its own."""

    turn_id: str | None
    messages: list[str] | None
    replies: list[ReplyReport]


class BurstReport(Struct, frozen=True, kw_only=True):
    """What went in and what came out."""

    messages: list[Message]
    deliveries: list[DeliveryReport]
    turns: list[TurnReport]


class ConversationReport(Struct, frozen=True, kw_only=True):
    """The bursts of a conversation, as far as they were played."""

    conversation_id: str
    bursts: list[BurstReport]
    faults: list[Fault]


class Totals(Struct, frozen=True, kw_only=True):
    """How many there were of everything."""

    conversations: int
    bursts: int
    messages: int
    deliveries: int
    turns: int
    replies: int


class Report(Struct, frozen=True, kw_only=True):
    """Everything that a simulation found. It is ok if nothing is wrong and it was not interrupted."""

    ok: bool
    url: str
    channel: str
    seed: int
    interrupted: bool
    seconds: float
    totals: Totals
    faults: list[Fault]
    notes: list[str]
    conversations: list[ConversationReport]


def report(
    talks: Iterable[Talk],
    provider: Provider,
    expected: Expected,
    *,
    url: str,
    seed: int,
    interrupted: bool,
    seconds: float,
    hint: str,
) -> Report:
    """Return the report of a run; `hint` says what may be wrong if no reply came at all."""
    begun = [talk for talk in talks if talk.played]
    conversations = [_conversation(talk, provider, expected) for talk in begun]
    wrong = [fault for conversation in conversations for fault in conversation.faults]
    totals = _totals(conversations)
    return Report(
        ok=not wrong and not interrupted,
        url=url,
        channel=provider.channel,
        seed=seed,
        interrupted=interrupted,
        seconds=round(seconds, 3),
        totals=totals,
        faults=wrong,
        notes=_notes(begun, expected, hint if wrong and totals.deliveries and not totals.replies else ""),
        conversations=conversations,
    )


def _conversation(talk: Talk, provider: Provider, expected: Expected) -> ConversationReport:
    turns = turns_of(talk)
    bursts = [
        _burst(talk, played, [turn for turn in turns if turn.burst == place], provider)
        for place, played in enumerate(talk.played)
    ]
    return ConversationReport(conversation_id=talk.conversation_id, bursts=bursts, faults=faults(talk, expected))


def _burst(talk: Talk, played: Played, turns: Sequence[Turn], provider: Provider) -> BurstReport:
    def name(number: int) -> str:
        return provider.message_id(talk.conversation_id, number)

    texts = played.burst.texts
    return BurstReport(
        messages=[Message(message_id=name(number), text=text) for number, text in texts.items()],
        deliveries=[
            DeliveryReport(
                message_id=name(done.delivery.message),
                repeat=done.delivery.repeat,
                late=done.delivery.late,
                outcome=done.outcome,
                attempts=done.attempts,
                at=round(done.sent - played.started, 3),
            )
            for done in played.delivered
        ],
        turns=[
            TurnReport(
                turn_id=turn.turn_id,
                messages=None if turn.messages is None else [name(number) for number in turn.messages],
                replies=_replies(turn, played.last_sent),
            )
            for turn in turns
        ],
    )


def _replies(turn: Turn, last_sent: float) -> list[ReplyReport]:
    return [
        ReplyReport(
            reply_id=reply.reply_id,
            position=reply.position,
            text=reply.text,
            times=sum(other.reply_id == reply.reply_id for other in turn.replies),
            after=round(reply.at - last_sent, 3),
        )
        for reply in unique(turn.replies)
    ]


def _totals(conversations: Sequence[ConversationReport]) -> Totals:
    bursts = [burst for conversation in conversations for burst in conversation.bursts]
    turns = [turn for burst in bursts for turn in burst.turns]
    return Totals(
        conversations=len(conversations),
        bursts=len(bursts),
        messages=sum(len({done.message_id for done in burst.deliveries}) for burst in bursts),
        deliveries=sum(len(burst.deliveries) for burst in bursts),
        turns=len(turns),
        replies=sum(reply.times for turn in turns for reply in turn.replies),
    )


def _notes(talks: Sequence[Talk], expected: Expected, hint: str) -> list[str]:
    notes = [hint] if hint else []
    if slow := sum(too_slow(talk, expected) for talk in talks):
        notes.append(
            f"in {slow} bursts the service took so long to answer that it may rightly have formed several turns: "
            "give a lower --rate"
        )
    again = sum(done.attempts - 1 for talk in talks for played in talk.played for done in played.delivered)
    if again:
        notes.append(f"{again} deliveries were refused for the moment, or not answered, and sent again")
    if left := sum(len(talk.planned) - len(talk.played) for talk in talks):
        notes.append(f"{left} bursts were not played, because of the one before them")
    return notes

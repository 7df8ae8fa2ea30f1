"""A message's whole story: what the ledger says of it now, and how that came about, as far as the journal remembers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from chatbot.channels.identity import dedupe_key
from chatbot.middleware import events
from chatbot.middleware.dead_letters import DeadLetters
from chatbot.middleware.events import Event, Happened
from chatbot.operations import explain_events, explain_unanswered
from chatbot.operations.bodies import text_of
from chatbot.operations.conversations import NotFound, conversation, item_of, mailboxes, subject_of
from chatbot.operations.explain_events import Line
from chatbot.operations.sentences import Sentence
from chatbot.service import Service
from chatbot.stores.operators import Trace
from chatbot.stores.values import MailboxState


class Reply(Struct, frozen=True, kw_only=True):
    """A reply that the turn left. `state` is sent, waits, buried, or unknown once the ledger has forgotten it."""

    reply: str
    state: str
    text: str | None = None


class Story(Struct, frozen=True, kw_only=True):
    """What became of a message. `journal` is complete, partial, or expired; times are in ms since 1970."""

    message_id: str
    verdict: str
    now: int
    conversation: str | None = None
    item_id: str | None = None
    turn_id: str | None = None
    epoch: int | None = None
    remembered_for: int | None = None
    duplicates: int = 0
    text: str | None = None
    lines: list[Line] = []
    replies: list[Reply] = []
    journal: str = "complete"
    #: The edit, the deletion, or the message of one, that its verdict names.
    related: str | None = None


def explain(service: Service, message_id: str, given: str | None = None, *, show_text: bool = False) -> list[Story]:
    """Return the story of a message, by its provider's id or Dramatiq's; several if the id is in several conversations.

    `given` is its conversation. Raises NotFound if nothing is known of it.
    """
    if given is not None:
        subject = conversation(service, given)
        items = _of_conversation(service, subject, message_id)
        if not items:
            raise _missing(message_id)
        return [_item_story(service, message_id, subject, item, show_text) for item in items]
    known = _known(service, message_id)
    if places := _named(known, message_id) or _spelled(service, message_id):
        return [_item_story(service, message_id, subject, item, show_text) for subject, item in places]
    return _turn_stories(service, message_id, known, show_text) or [_ordinary(service, message_id, known, show_text)]


# --- which items are meant ---
def _known(service: Service, message_id: str) -> list[Happened]:
    escaped = dedupe_key(message_id)
    found = events.happened(service.store, name=message_id)
    return found if found or escaped == message_id else events.happened(service.store, name=escaped)


def _of_conversation(service: Service, subject: str, message_id: str) -> list[str]:
    inbox, _ = mailboxes(service, subject)
    told = [one.event for one in events.happened(service.store, subject=subject)]
    noted = {e.item_id: None for e in told if e.item_id and _is_about(e.item_id, e.message_id, message_id)}
    spelled = [item_of(subject, message_id), message_id]
    return list(noted) or [item for item in spelled if service.store.trace(inbox, item).epoch is not None][:1]


def _is_about(item_id: str, dramatiq_id: str, message_id: str) -> bool:
    # The first three parts of an item id are its conversation, and what follows the message's id is its version.
    return message_id in (dramatiq_id, item_id) or item_id.split(":")[3:4] == [dedupe_key(message_id)]


def _named(known: Sequence[Happened], message_id: str) -> list[tuple[str, str]]:
    items = {
        (one.event.key.partition("/")[2], one.event.item_id): None
        for one in known
        if one.event.item_id and _is_about(one.event.item_id, one.event.message_id, message_id)
    }
    return list(items)


def _spelled(service: Service, message_id: str) -> list[tuple[str, str]]:
    """An item id names its conversation, so it is found without the journal."""
    subject = subject_of(message_id)
    known = subject and service.store.trace(mailboxes(service, subject)[0], message_id).epoch is not None
    return [(subject, message_id)] if known else []


def _missing(message_id: str) -> NotFound:
    return NotFound(
        f"nothing is known of the message {message_id!r}: the journal goes back 7 days at most, and the ledger "
        "remembers an id for CHATBOT_MESSAGE_TTL_S; give --conversation CHANNEL:ID to ask the ledger itself. What asks "
        "for no turn (a status, a reaction, an echo) never gets there: the webhook's answer counts it as ignored"
    )


# --- the story of an item ---
def _item_story(service: Service, message_id: str, subject: str, item_id: str, show_text: bool) -> Story:
    key, _ = mailboxes(service, subject)
    state, trace = service.store.inspect(key), service.store.trace(key, item_id)
    all_told = events.happened(service.store, subject=subject)
    told = explain_events.of_item(all_told, key, item_id, trace)
    lines = [*explain_events.facts(trace, state), *(explain_events.line(one, item_id=item_id) for one in told)]
    ended = [one.event for one in told if one.event.what == "ended" and one.event.outcome == "settled"]
    turn = next((e.turn_id for e in ended if e.turn_id), None)
    replies = [_reply(service, name, show_text) for e in ended for name in e.follow_ups]
    delivery = [one for e in ended for name in e.follow_ups for one in _delivery(service, all_told, name)]
    verdict, related = _verdict(service, key, trace, state), None
    if trace.epoch in (None, -1):
        verdict, related = explain_unanswered.verdict(told, item_id) or (verdict, None)
    return Story(
        message_id=message_id,
        conversation=subject,
        item_id=item_id,
        turn_id=turn,
        epoch=trace.epoch,
        remembered_for=trace.ttl or None,
        duplicates=sum(_is_repeat(one.event, item_id) for one in told),
        now=state.now,
        verdict=verdict,
        text=_text(service, key, trace) if show_text else None,
        lines=explain_events.in_order([*lines, *delivery], show_text=show_text),
        replies=replies,
        journal=_completeness(told),
        related=related,
    )


def _verdict(service: Service, key: str, trace: Trace, state: MailboxState) -> str:
    if trace.epoch is None:
        return Sentence("forgotten by the ledger")
    if trace.epoch == -1:
        return Sentence("withdrawn, or an edit of another message")
    if trace.epoch == 0:
        if trace.place is not None and trace.place < state.size:
            return Sentence("in the open turn, which is %(state)s", state=Sentence(state.state))
        return Sentence("waiting behind the turn before it") if state.size else Sentence("waiting in the window")
    if trace.outcome == "dead" or any(grave.epoch == trace.epoch for grave in service.store.graves(key)):
        return Sentence("a dead letter")
    return Sentence("completed")


def _is_repeat(event: Event, item_id: str) -> bool:
    return event.what == "decided" and event.outcome == "duplicate" and event.item_id == item_id


def _completeness(told: Sequence[Happened]) -> str:
    if not told:
        return "expired"
    return "complete" if any(one.event.what == "decided" for one in told) else "partial"


def _text(service: Service, key: str, trace: Trace) -> str | None:
    entries = list(service.store.peek(key))
    if trace.epoch and (grave := service.store.grave(key, trace.epoch)):
        entries += grave.entries
    return next((text_of(entry.body) for entry in entries if entry.digest == trace.digest), None)


# --- what the turn left ---
def _reply(service: Service, name: str, show_text: bool) -> Reply:
    key, item_id = name.split("\n", 1)
    trace = service.store.trace(key, item_id)
    if trace.epoch is None:
        state = "unknown"
    elif trace.epoch == 0:
        state = "waits"
    else:
        state = "buried" if trace.outcome == "dead" or service.store.grave(key, trace.epoch) else "sent"
    return Reply(reply=item_id, state=state, text=_text(service, key, trace) if show_text else None)


def _delivery(service: Service, told: Sequence[Happened], name: str) -> Iterator[Line]:
    key, item_id = name.split("\n", 1)
    for one in explain_events.of_item(told, key, item_id, service.store.trace(key, item_id)):
        yield explain_events.line(one, reply=item_id.rpartition(":")[2])


# --- other messages ---
def _turn_stories(service: Service, message_id: str, known: Sequence[Happened], show_text: bool) -> list[Story]:
    """A worker's message is the claim check of a turn: tell the turn's story."""
    checks = {(one.event.key, one.event.epoch): None for one in known if one.event.what == "began"}
    stories = []
    for key, epoch in checks:
        subject = key.partition("/")[2]
        told = [one for one in events.happened(service.store, subject=subject) if _is_of(one, key, epoch)]
        ended = next((one.event.outcome for one in reversed(told) if one.event.what == "ended"), Sentence("not ended"))
        lines = explain_events.in_order(map(explain_events.line, told), show_text=show_text)
        now, turn = service.store.inspect(key).now, next((one.event.turn_id for one in told if one.event.turn_id), None)
        verdict = Sentence("the claim check of a turn of %(key)s, which is %(ended)s", key=key, ended=ended)
        story = Story(
            message_id=message_id, conversation=subject, epoch=epoch, turn_id=turn, now=now, verdict=verdict,
            lines=lines,
        )  # fmt: skip
        stories.append(story)
    return stories


def _is_of(one: Happened, key: str, epoch: int) -> bool:
    return one.event.key == key and one.event.epoch == epoch


def _ordinary(service: Service, message_id: str, known: Sequence[Happened], show_text: bool) -> Story:
    """A call of an actor without a window."""
    letter = next((one for one in DeadLetters(service.store).letters() if one.message_id == message_id), None)
    told = [one for one in known if message_id in (one.event.message_id, one.event.of)]
    if not told and letter is None:
        raise _missing(message_id)
    lines = [explain_events.line(one) for one in told]
    if letter is not None:
        lines.append(explain_events.of_letter(letter))
    last = next((one.event.outcome for one in reversed(told) if one.event.message_id == message_id), "known")
    now = service.store.inspect("explain/").now
    outside = Sentence("a call outside of conversations, last %(outcome)s", outcome=last)
    verdict = Sentence("a dead letter") if letter else outside
    shown = explain_events.in_order(lines, show_text=show_text)
    return Story(message_id=message_id, now=now, verdict=verdict, lines=shown)

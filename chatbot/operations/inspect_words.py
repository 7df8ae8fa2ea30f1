"""A conversation's state for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from chatbot.operations.inspect import Inspection, Mailbox
from chatbot.operations.times import ago, count, span

#: Of a mailbox so many items are shown.
MOST = 20


def words(found: Inspection) -> str:
    """Return a state as text."""
    lines = [found.conversation, *(line for mailbox in found.mailboxes for line in _mailbox(mailbox))]
    return "\n".join([*lines, f"  history: {count(found.history, 'turn')}"])


def _mailbox(box: Mailbox) -> Iterator[str]:
    yield f"  {box.name} {box.key}: {box.state}{_when(box)}"
    turn, window = sum(item.in_turn for item in box.items), sum(not item.in_turn for item in box.items)
    if turn:
        tried = f"attempt {box.attempt} ({box.fails} failed, {box.lost} lost)"
        yield f"    turn {box.epoch}: {count(turn, 'item')}, {tried}, {count(box.publications, 'publication')}"
    if box.owner:
        yield f"    owner {box.owner} on {box.worker or 'a worker that the journal does not know'}"
    if turn:
        yield f"    to free it: chatbot unlock {shlex.join([box.key, '--epoch', str(box.epoch), '--owner', box.owner])}"
    if window:
        yield f"    window: {count(window, 'item')}, {box.bytes} bytes with the turn"
    if box.parts:
        yield f"    bisected: parts of {', '.join(map(str, box.parts))} wait"
    for item in box.items[:MOST]:
        text = "" if item.text is None else f": {item.text}"
        yield f"      {'turn  ' if item.in_turn else 'window'} {item.id or '(no id)'}, {ago(item.age)}{text}"
    if len(box.items) > MOST:
        yield f"      and {count(len(box.items) - MOST, 'item')} more (--json shows all)"
    for grave in box.dead:
        yield f"    dead letter {grave.id}: {count(grave.items, 'item')}, buried {ago(grave.age)}"


def _when(box: Mailbox) -> str:
    if box.lease_in is not None:
        return f", {span(box.lease_in)} of its lease are left" if box.lease_in > 0 else ", its lease has lapsed"
    if box.hold_in is not None:
        return f" for {span(box.hold_in)} more"
    if box.state == "accumulating" and box.due_in is not None:
        return f", due in {span(box.due_in)}" if box.due_in > 0 else f", overdue by {span(-box.due_in)}"
    return ""

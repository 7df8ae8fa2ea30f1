"""Dead letters for people."""

from __future__ import annotations

from collections.abc import Sequence

from chatbot.operations.dead import Letter, Shown
from chatbot.operations.times import ago, count, stamp


def table(letters: Sequence[Letter], total: int, now: int) -> str:
    """Return letters as a table, a line each."""
    if not letters:
        return "There are no dead letters." if not total else "No dead letter fits."
    head = ("id", "kind", "actor", "error", "attempts", "items", "given up", "conversation or queue")
    rows = [head, *(_row(letter, now) for letter in letters)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if total > len(letters):
        lines.append(f"{count(total - len(letters), 'dead letter')} more: give a higher --limit, or filter.")
    return "\n".join(lines)


def _row(letter: Letter, now: int) -> tuple[str, ...]:
    where = letter.key.partition("/")[2] if letter.key else letter.queue or ""
    when = ago(now - letter.last_at)
    return (letter.id, letter.kind, letter.actor, letter.error, f"{letter.attempts}", f"{letter.items}", when, where)


def words(shown: Shown) -> str:
    """Return all of a letter as text."""
    letter = shown.letter
    where = f"turn {letter.epoch} of {letter.key}" if letter.key else f"a message of the queue {letter.queue}"
    lines = [
        f"{letter.id}: {where}",
        f"  actor     {letter.actor}",
        f"  attempts  {letter.attempts}, the last on {letter.worker}",
        f"  first     {stamp(letter.first_at)}",
        f"  last      {stamp(letter.last_at)}",
    ]
    if shown.args is not None:
        lines.append(f"  arguments {shown.args} {shown.kwargs or ''}".rstrip())
    for content in shown.contents:
        text = "" if content.text is None else f": {content.text}"
        lines.append(f"  item      {content.id or '(no id)'}, {stamp(content.arrived)}{text}")
    return "\n".join([*lines, shown.traceback.rstrip() or shown.said])

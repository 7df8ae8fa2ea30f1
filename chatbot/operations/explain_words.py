"""A story for people: one line a step, with the time since the first."""

from __future__ import annotations

from chatbot.operations.explain import Story
from chatbot.operations.times import ago, since, stamp

_JOURNAL = {
    "expired": "The journal has nothing on it (any more): only what the ledger itself says is shown.",
    "partial": "The journal's beginning of this story has expired: what the ledger itself says comes first.",
}


def words(story: Story) -> str:
    """Return a story as text."""
    where = f" in {story.conversation}" if story.conversation else ""
    lines = [f"{story.message_id}{where}: {story.verdict}"]
    if story.text is not None:
        lines.append(f"  text: {story.text}")
    begin = story.lines[0].at if story.lines else story.now
    for line in story.lines:
        when = stamp(line.at) if line is story.lines[0] else since(line.at - begin)
        lines.append(f"  {when:>23}  {line.text}" + ("" if line.source == "journal" else "  [ledger]"))
        if line.said:
            lines.append(f"  {'':>23}  {line.said}")
    for reply in story.replies:
        text = "" if reply.text is None else f": {reply.text}"
        lines.append(f"  reply {reply.reply} {_STATES[reply.state]}{text}")
    if story.duplicates:
        times = "twice" if story.duplicates == 1 else f"{story.duplicates + 1} times"
        lines.append(f"  It came {times}, and was taken once.")
    if story.lines:
        lines.append(f"  It began {ago(story.now - begin)}.")
    if story.journal in _JOURNAL:
        lines.append("  " + _JOURNAL[story.journal])
    return "\n".join(lines)


_STATES = {
    "sent": "was sent",
    "waits": "waits to be sent",
    "buried": "could not be sent: it is a dead letter",
    "unknown": "was sent or given up: its id has expired",
}

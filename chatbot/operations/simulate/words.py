"""What a simulation found, in words: short where all is well, in full where it is not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence

import click

from chatbot.operations.simulate.report import BurstReport, ConversationReport, Report, TurnReport

#: So many conversations are shown in full, and so many more in one line each; the rest is in the sum.
FULL, BRIEF = 5, 20


def words(report: Report) -> str:
    """Return the report as text, coloured for terminals."""
    return "\n".join([*_conversations(report.conversations), *_sum(report)])


def _conversations(conversations: Sequence[ConversationReport]) -> Iterator[str]:
    in_full = len(conversations) <= FULL
    well = 0
    for conversation in conversations:
        well += not conversation.faults
        if in_full or conversation.faults:
            yield from _in_full(conversation)
        elif well <= BRIEF:
            yield _in_brief(conversation)
    if not in_full and well > BRIEF:
        yield click.style(f"ok  ... and {well - BRIEF} more", dim=True)


def _in_full(conversation: ConversationReport) -> Iterator[str]:
    name = click.style(conversation.conversation_id, bold=True)
    several = len(conversation.bursts) > 1
    said = (message.message_id for burst in conversation.bursts for message in burst.messages)
    numbers = {message_id: number for number, message_id in enumerate(said, start=1)}
    for place, burst in enumerate(conversation.bursts, start=1):
        yield name + (f", burst {place}" if several else "")
        yield f"  in    {_clipped(' / '.join(message.text for message in burst.messages))}"
        yield f"  sent  {_deliveries(burst, numbers)} {click.style(_counted(burst), dim=True)}"
        for turn in burst.turns:
            yield from _turn(turn)
        for fault in conversation.faults:
            if fault.burst == place:
                yield click.style(f"  bad   {fault.kind}: {fault.detail}", fg="red")
    yield ""


def _deliveries(burst: BurstReport, numbers: Mapping[str, int]) -> str:
    """Return the order in which messages were delivered, by their numbers; repeats are dim."""
    told: dict[bool, list[str]] = {False: [], True: []}
    for done in burst.deliveries:
        number = str(numbers[done.message_id])
        told[done.late].append(click.style(number, dim=True) if done.repeat else number)
    if not burst.deliveries:
        return "(nothing was taken)"
    late = f", after the reply {' '.join(told[True])}" if told[True] else ""
    return " ".join(told[False]) + late


def _counted(burst: BurstReport) -> str:
    outcomes = [done.outcome for done in burst.deliveries]
    accepted, duplicates = outcomes.count("accepted"), outcomes.count("duplicate")
    return f"({accepted} accepted, {_number(duplicates, 'duplicate')})" if accepted + duplicates else ""


def _turn(turn: TurnReport) -> Iterator[str]:
    of = "" if turn.messages is None else f" of {_number(len(turn.messages), 'message')}"
    after = turn.replies[0].after
    yield f"  turn  {turn.turn_id or '(not named)'}{of}, {after:.1f} s after the last"
    for reply in turn.replies:
        again = click.style(f" ({reply.times} times)", fg="red") if reply.times > 1 else ""
        yield f"  out   {_clipped(reply.text) or '(no text)'}{again}"


def _in_brief(conversation: ConversationReport) -> str:
    bursts = conversation.bursts
    turns = [turn for burst in bursts for turn in burst.turns]
    counts = (
        f"{_number(sum(len(burst.messages) for burst in bursts), 'message')} in "
        f"{_number(sum(len(burst.deliveries) for burst in bursts), 'delivery', 'deliveries')} -> "
        f"{_number(len(turns), 'turn')} -> {_number(sum(len(turn.replies) for turn in turns), 'reply', 'replies')}"
    )
    slowest = max((reply.after for turn in turns for reply in turn.replies), default=0.0)
    return f"{click.style('ok', fg='green')}  {conversation.conversation_id}  {counts}, {slowest:.1f} s after the last"


def _sum(report: Report) -> Iterator[str]:
    totals = report.totals
    yield (
        f"{_number(totals.bursts, 'burst')} in {_number(totals.conversations, 'conversation')}: "
        f"{_number(totals.messages, 'message')} in {_number(totals.deliveries, 'delivery', 'deliveries')} -> "
        f"{_number(totals.turns, 'turn')} -> {_number(totals.replies, 'reply', 'replies')}, in {report.seconds:.1f} s"
    )
    for note in report.notes:
        yield click.style(f"note: {note}", fg="yellow")
    if report.interrupted:
        yield click.style("interrupted: this is what was known by then", fg="yellow")
    if report.faults:
        kinds = dict.fromkeys(fault.kind for fault in report.faults)
        wrong = ", ".join(f"{sum(fault.kind == kind for fault in report.faults)} {kind}" for kind in kinds)
        yield click.style(f"{_number(len(report.faults), 'fault')}: {wrong}", fg="red", bold=True)
    elif report.ok:
        well = "every burst became one turn, and " if totals.turns == totals.bursts else ""
        yield click.style(f"{well}no reply is missing, doubled or out of order", fg="green", bold=True)


def _clipped(text: str) -> str:
    """Return a text as one line that fits, and does nothing to a terminal."""
    parts = (part.strip() for part in text.splitlines())
    line = "".join(char if char.isprintable() else "?" for char in " / ".join(part for part in parts if part))
    room = max(40, shutil.get_terminal_size((100, 24)).columns - 8)
    return line if len(line) <= room else f"{line[: room - 3]}..."


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"

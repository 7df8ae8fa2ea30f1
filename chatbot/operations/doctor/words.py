"""A diagnosis for people: what was looked at in one line a part, then each finding with its cure."""

from __future__ import annotations

from collections.abc import Iterator

import click

from chatbot.operations.doctor.diagnosis import Diagnosis
from chatbot.operations.times import count

_COLOURS = {"error": "red", "warning": "yellow", "note": "cyan"}


def words(diagnosis: Diagnosis) -> str:
    """Return the diagnosis as text, coloured for terminals."""
    return "\n".join([*_parts(diagnosis), *_findings(diagnosis), *_unseen(diagnosis), _sum(diagnosis)])


def _parts(diagnosis: Diagnosis) -> Iterator[str]:
    parts = dict.fromkeys(one.part for one in diagnosis.checked)
    width = max(map(len, parts), default=0)
    for part in parts:
        of_part = [one for one in diagnosis.checked if one.part == part]
        topics = ", ".join(click.style(one.check, fg="red") if one.findings else one.check for one in of_part)
        well = not any(one.findings for one in of_part)
        mark = click.style("ok ", fg="green") if well else click.style("see", fg="yellow")
        yield f"{mark}  {part:<{width}}  {topics}"


def _findings(diagnosis: Diagnosis) -> Iterator[str]:
    for one in diagnosis.findings:
        yield ""
        yield f"{click.style(one.severity, fg=_COLOURS[one.severity], bold=True)}  {one.found}"
        yield f"  cure: {one.cure}"


def _unseen(diagnosis: Diagnosis) -> Iterator[str]:
    if diagnosis.unseen:
        yield ""
        yield click.style("Not seen from here:", dim=True)
    for one in diagnosis.unseen:
        yield click.style(f"  {one.what}: {one.why}", dim=True)


def _sum(diagnosis: Diagnosis) -> str:
    counts = {kind: sum(one.severity == kind for one in diagnosis.findings) for kind in _COLOURS}
    told = ", ".join(count(number, kind) for kind, number in counts.items() if number)
    if diagnosis.ok:
        return "\n" + click.style("nothing is wrong" + (f" ({told})" if told else ""), fg="green", bold=True)
    return "\n" + click.style(told, fg="red" if counts["error"] else "yellow", bold=True)

"""What `verify` found, in words: a line for each proof."""

from __future__ import annotations

from collections.abc import Iterator

import click

from chatbot.operations.verify.proofs import Proof, Report

_MARKS = {True: ("ok  ", "green"), False: ("bad ", "red"), None: ("?   ", "yellow")}


def words(report: Report) -> str:
    """Return the report as text, coloured for terminals."""
    return "\n".join(_lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.url} ({report.channel}), conversation {click.style(report.conversation, bold=True)}"
    width = max(len(proof.name) for proof in report.proofs)
    for proof in report.proofs:
        yield from _proof(proof, width)
    for note in report.notes:
        yield click.style(f"note: {note}", fg="yellow")
    yield _sum(report)


def _proof(proof: Proof, width: int) -> Iterator[str]:
    mark, colour = _MARKS[proof.held]
    took = "" if proof.held is None else click.style(f" ({proof.seconds:.3f} s)", dim=True)
    yield f"  {click.style(mark, fg=colour)} {proof.name:<{width}}  {proof.sent} -> {proof.came}{took}"
    if not proof.held and proof.cure:
        yield f"  {'':<{width + 6}} {click.style(proof.cure, fg=colour)}"


def _sum(report: Report) -> str:
    took = f"in {report.seconds:.1f} s"
    bad = [proof.name for proof in report.proofs if proof.held is False]
    unseen = [proof.name for proof in report.proofs if proof.held is None]
    if bad:
        return click.style(f"not as promised: {', '.join(bad)} ({took})", fg="red", bold=True)
    if not report.ok:
        return click.style(f"not shown: {', '.join(unseen)} ({took})", fg="red", bold=True)
    if not report.ledger:
        return click.style(f"all that answers can show holds; not shown: {', '.join(unseen)} ({took})", fg="yellow")
    told = "debounce, deduplication and idempotency hold"
    return click.style(f"{told}: one burst, one turn, each reply once ({took})", fg="green", bold=True)

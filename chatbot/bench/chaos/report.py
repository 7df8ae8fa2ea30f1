"""What a run found, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from chatbot.bench.chaos.faults import Struck
from chatbot.bench.chaos.traffic import Traffic
from chatbot.bench.chaos.verdict import Turn, Verdict

#: Of what is wrong, so much is shown.
MOST_SHOWN = 10


class Recovery(Struct, frozen=True, kw_only=True):
    """How often a fault struck, and how long it took at worst after it was mended until all was answered that had been
    accepted before. In s during which nothing else was broken; the quiet time that ends a burst is part of it."""

    times: int
    worst: float


class Report(Struct, frozen=True, kw_only=True):
    """What one run found. Counts of what must not be are 0 in a good one; `doubled_replies` has its explanation."""

    broker: str
    conversations: int
    seconds: float
    seed: int
    accepted: int
    turns: int
    replies: int
    lost: int
    doubled: int
    reordered: int
    early: int
    wrong_answers: int
    doubled_replies: int
    left_open: int
    worst_recovery: float
    faults: Mapping[str, Recovery]
    revived: int
    answers: Mapping[str, int]
    problems: Sequence[str]

    @property
    def ok(self) -> bool:
        """Whether nothing was lost, doubled, reordered or left behind."""
        return not (self.lost or self.doubled or self.reordered or self.early or self.wrong_answers or self.left_open)


def recoveries(struck: Sequence[Struck], traffic: Traffic, turns: Sequence[Turn]) -> dict[str, Recovery]:
    """Return for each kind of fault how long it took at worst to get over it."""
    answered = {member: turn.replies[-1].at for turn in turns for member in turn.members}
    times = [(sent.accepted, answered[name]) for name, sent in traffic.sent.items() if name in answered]
    found: dict[str, list[float]] = {}
    for fault in struck:
        late = max((at for accepted, at in times if accepted <= fault.mended), default=fault.mended)
        found.setdefault(fault.name, []).append(_in_order(fault.mended, late, struck))
    return {name: Recovery(times=len(took), worst=round(max(took), 2)) for name, took in sorted(found.items())}


def _in_order(since: float, until: float, struck: Sequence[Struck]) -> float:
    """Return for how long of this time (s) nothing was broken."""
    broken = sum(max(0.0, min(fault.mended, until) - max(fault.began, since)) for fault in struck)
    return max(0.0, until - since - broken)


def problems(verdict: Verdict, left_open: Sequence[str]) -> list[str]:
    """Return the first things that are wrong."""
    told = [f"lost: {one}" for one in verdict.lost] + [f"doubled: {one}" for one in verdict.doubled]
    told += [f"reordered: {one}" for one in verdict.reordered] + [f"early: turn {one}" for one in verdict.early]
    told += [f"wrong answer: {one}" for one in verdict.wrong] + [f"left open: {one}" for one in left_open]
    return told[:MOST_SHOWN]


def words(report: Report) -> str:
    """Return a report for people."""
    lines = [
        f"Chaos on {report.broker}: {report.conversations} conversations for {report.seconds:g} s, seed {report.seed}",
        "",
        f"  accepted   {report.accepted:>7}   messages, 30 % of the deliveries repeated, bursts out of order",
        f"  turns      {report.turns:>7}",
        f"  replies    {report.replies:>7}",
        f"  lost       {report.lost:>7}",
        f"  doubled    {report.doubled:>7}   turns",
        f"  reordered  {report.reordered:>7}",
        f"  recovery   {report.worst_recovery:>7.1f}   s at worst, nothing else being broken, until all was answered",
        "",
        f"  {'fault':<20} times  recovery",
        *(f"  {name:<20} {one.times:>5}  {one.worst:>6.1f} s" for name, one in report.faults.items()),
        "",
        f"  webhooks answered: {', '.join(f'{count} times {how}' for how, count in sorted(report.answers.items()))}",
        f"  turns that ran before their window was due {report.early}, answers against the contract "
        f"{report.wrong_answers}, conversations left open {report.left_open}",
        f"  replies that came again: {report.doubled_replies}. A worker was lost or paused between a send and its "
        "record, so whether it had left was",
        "  unknown; the id was the same, and a provider that honours it shows one. CHATBOT_DELIVERY=at_most_once never "
        "sends twice.",
    ]
    verdict = "Nothing was lost, doubled or reordered." if report.ok else "\n".join(report.problems)
    return "\n".join([*lines, "", verdict])

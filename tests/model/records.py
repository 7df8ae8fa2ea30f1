"""The model of standalone records: claim, settle, release; under two-phase deduplication, or under idempotency.

Under idempotency the broker may give up on a delivery, as its worker died or lost its connection, and deliver the call
again at once: that copy suspects whoever runs the same call, and takes the claim over if its renewals are overdue.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.model.search import Broken, put


class Call(NamedTuple):
    """A send, or an execution: both claim, act, then settle."""

    owner: int
    message: int  # what is called: a redelivered copy is another owner of the same
    phase: str = "new"  # new, claimed, acted, settled, suppressed, failed, dead
    holds: bool = False  # ghost
    again: bool = False  # a retry of this message passes the claim once more
    suspects: bool = False  # the broker redelivered this copy
    given_up: bool = False  # the broker gave up on this delivery


class Claims(NamedTuple):
    """One record, all calls for it, and ghosts."""

    calls: tuple[Call, ...]
    record: tuple[str, int] | None = None  # P = pending under a lease, or D = settled; and the owner
    overdue: bool = False  # the owner of a pending record has not renewed it within the grace
    acted: tuple[int, ...] = ()  # owners whose effect happened, in order
    winner: int = 0  # the first owner that settled
    faults: int = 0

    def with_call(self, j: int, call: Call) -> Claims:
        return self._replace(calls=put(self.calls, j, call))

    def claimed_by(self, j: int, state: str = "P") -> Claims:
        """Give the record to a call."""
        call = self.calls[j]._replace(phase="claimed", holds=state == "P")
        return self.with_call(j, call)._replace(record=(state, call.owner), overdue=False)


class ClaimConfig(NamedTuple):
    """How many calls, and how many faults."""

    name: str = ""
    calls: int = 3
    faults: int = 2
    redelivers: bool = False
    bug: str = ""


Steps = Iterator[tuple[str, bool, Claims]]


def start(c: ClaimConfig) -> Claims:
    return Claims(tuple(Call(i + 1, i + 1) for i in range(c.calls)), faults=c.faults)


def steps(s: Claims, c: ClaimConfig) -> Steps:
    """Yield label, whether it is a fault, and the next state."""
    for j, call in enumerate(s.calls):
        if call.phase == "new":
            yield from _claim(s, c, j, call)
        elif call.phase == "claimed":
            yield from _act(s, c, j, call)
        elif call.phase == "acted":
            yield from _settle(s, c, j, call)
        elif call.phase == "settled" and s.faults and not call.again:
            retry = call._replace(phase="new", again=True)
            yield f"{call.owner} is enqueued again (retry)", True, _fault(s.with_call(j, retry))
        if call.phase in ("claimed", "acted") and s.faults:
            yield f"{call.owner} dies", True, _fault(s.with_call(j, call._replace(phase="dead", holds=False)))
        if c.redelivers:
            yield from _redeliver(s, j, call)
    yield from _lapse(s)
    yield from _renew(s)


def _fault(s: Claims) -> Claims:
    return s._replace(faults=s.faults - 1)


def _redeliver(s: Claims, j: int, call: Call) -> Steps:
    """What the broker makes of a worker that died, or lost its connection and goes on."""
    if call.phase == "new" and not call.suspects and s.faults:
        waited = call._replace(suspects=True)
        yield f"{call.owner} is redelivered before it ran", True, _fault(s.with_call(j, waited))
    dead = call.phase == "dead"
    if call.given_up or not (dead or (call.phase in ("claimed", "acted") and s.faults)):
        return
    copy = Call(len(s.calls) + 1, call.message, suspects=True)
    both = s.with_call(j, call._replace(given_up=True))
    both = both._replace(calls=(*both.calls, copy))
    yield f"{call.owner} is redelivered as {copy.owner}", not dead, both if dead else _fault(both)


def _claim(s: Claims, c: ClaimConfig, j: int, call: Call) -> Steps:
    state, owner = s.record or ("", 0)
    mine = owner == call.owner
    if not s.record or (state == "P" and c.bug == "steal_pending"):
        if s.winner and c.faults == 0:
            raise Broken("claimed anew inside the window")
        yield f"{call.owner} claims: new", False, s.claimed_by(j, "D" if c.bug == "one_phase" else "P")
    elif mine and c.bug != "claim_not_reentrant":
        yield f"{call.owner} claims: mine", False, s.claimed_by(j, state)
    elif _suspected(s, c, call):
        yield f"{call.owner} takes over from {owner}", False, _dispossessed(s).claimed_by(j)
    elif state == "D" or c.bug == "pending_suppresses":
        if owner not in s.acted:
            raise Broken("suppressed without an original")
        if mine and call.again:
            raise Broken("a retry was suppressed as its own duplicate")
        yield f"{call.owner} claims: done", False, s.with_call(j, call._replace(phase="suppressed"))


def _suspected(s: Claims, c: ClaimConfig, call: Call) -> bool:
    """Whether this copy may take the record from its owner."""
    assert s.record
    state, owner = s.record
    return (
        call.suspects
        and (state == "P" or c.bug == "suspects_the_settled")
        and (s.calls[owner - 1].message == call.message or c.bug == "suspects_other_calls")
        and (s.overdue or c.bug == "claim_no_grace")
    )


def _dispossessed(s: Claims) -> Claims:
    """Whom the broker gave up on, and who did not renew, has lost the claim. Nobody else may lose it like this: a pause
    that is shorter than the lease costs nothing as long as the worker's connection holds."""
    assert s.record
    j = s.record[1] - 1
    old = s.calls[j]
    return s.with_call(j, old._replace(holds=old.holds and not (old.given_up and s.overdue)))


def _act(s: Claims, c: ClaimConfig, j: int, call: Call) -> Steps:
    held = s.record == ("P", call.owner)
    if c.bug == "settle_before_acting" and held:
        yield f"{call.owner} settles early", False, s._replace(record=("D", call.owner))
    acted = s.acted if call.owner in s.acted else (*s.acted, call.owner)
    yield f"{call.owner} acts", False, s._replace(acted=acted).with_call(j, call._replace(phase="acted"))
    if s.faults:  # known failure: release, so a resend need not wait
        released = s._replace(record=None) if held or c.bug == "release_no_owner" else s
        failed = call._replace(phase="failed", holds=False)
        yield f"{call.owner} fails", True, _fault(released.with_call(j, failed))


def _settle(s: Claims, c: ClaimConfig, j: int, call: Call) -> Steps:
    after = s.with_call(j, call._replace(phase="settled", holds=False))
    mine = s.record is not None and s.record[1] == call.owner
    if c.bug == "never_settles":
        yield f"{call.owner} returns", False, after
    elif not s.record or mine or c.bug == "settle_no_owner":
        settled = after._replace(record=("D", call.owner), winner=s.winner or call.owner)
        yield f"{call.owner} settles", False, settled
    else:
        yield f"{call.owner} settles: refused", False, after


def _lapse(s: Claims) -> Steps:
    """The record's time to live is the lease."""
    if not s.record or s.record[0] != "P":
        return
    live = [j for j, call in enumerate(s.calls) if call.owner == s.record[1] and call.phase in ("claimed", "acted")]
    for j in live if s.faults else ():
        paused = s._replace(record=None).with_call(j, s.calls[j]._replace(holds=False))
        yield "a paused owner's lease lapses", True, _fault(paused)
    if not live:
        yield "lease lapses", False, s._replace(record=None)


def _renew(s: Claims) -> Steps:
    """Who lives renews before the grace ends, unless it is paused; who is dead does not."""
    if not s.record or s.record[0] != "P":
        return
    lives = s.calls[s.record[1] - 1].phase in ("claimed", "acted")
    if s.overdue and lives:
        yield "the owner renews", False, s._replace(overdue=False)
    elif not s.overdue and not lives:
        yield "renewals are overdue", False, s._replace(overdue=True)
    elif not s.overdue and s.faults:
        yield "the owner pauses for longer than the grace", True, _fault(s._replace(overdue=True))


def broken(s: Claims, c: ClaimConfig) -> str:
    """Return the first violated invariant, or nothing."""
    if sum(call.holds for call in s.calls) > 1:
        return "two owners hold one claim"
    if s.winner and s.record != ("D", s.winner):
        return "the settled record was overwritten or lost inside its window"
    if s.faults == c.faults and len(s.acted) > 1:
        return "two effects without a fault"
    return ""


def goal(s: Claims, c: ClaimConfig) -> bool:
    """Every call has come to its end. One whose worker died has not, before the broker gave up on it."""
    ends = ("settled", "suppressed", "failed")
    return all(call.phase in ends or (call.phase == "dead" and (call.given_up or not c.redelivers)) for call in s.calls)

"""The model of the whole system: whatever may happen next to the web, the pumps, the broker, the workers, an operator.

One step is one atomic verb, or one fault: messages are lost, repeated at any later time, reordered or delivered too
early; web, pumps and workers die at any step, with or without their message; a worker pauses for longer than its lease
and goes on as a zombie; the answer to `begin` or `finish` is lost; a responder fails.
"""

from __future__ import annotations

from tests.model.mailboxes import Config, Message, State, Worker, append, handed_over, offer, take_due, unlock
from tests.model.search import put
from tests.model.workers import Cost, Steps, fault, free, lease_steps, plus, taken_from, worker_steps, works


def resend(s: State) -> State:
    return s._replace(resends=s.resends - 1)


def steps(s: State, c: Config) -> Steps:
    """Yield label, whether it is a fault, and the next state."""
    yield from _providers(s, c)
    yield from _web(s, c)
    yield from _pumps(s, c)
    yield from _broker(s, c)
    for j, w in enumerate(s.workers):
        if w is not None:
            yield from worker_steps(s, c, j, w)
    yield from lease_steps(s)
    yield from _operator(s, c)


# --- the provider and the web process ---
def _providers(s: State, c: Config) -> Steps:
    for i, k in enumerate(s.keys):
        total = 0 if c.is_outbox(i) else c.messages[i]
        new = len(k.arrived) + sum(j == i for j, _ in s.web)
        if new < total:
            yield from _accept(s, c, i, new, free)
        for item in range(min(total, new)) if s.resends else ():
            yield from _accept(s, c, i, item, resend)
        yield from _expiry(s, c, i)


def _accept(s: State, c: Config, i: int, item: int, cost: Cost) -> Steps:
    k, known = s.keys[i], s.keys[i].ids >> item & 1
    if c.bug in ("id_before_append", "append_before_id") and not known:
        half = append(k, item) if c.bug == "append_before_id" else k._replace(ids=k.ids | 1 << item)
        yield f"first half of {item}", cost is resend, cost(s.with_key(i, half)._replace(web=(*s.web, (i, item))))
        return
    yield f"offer {item}", cost is resend, cost(s.with_key(i, offer(k, item, coming=(i, item) in s.web)))
    if c.supersede and k.size and not known:
        k2 = offer(k, item, supersede=True)
        if c.bug == "supersede_unfenced":  # the open turn swallows the arrival
            k2 = k2._replace(size=len(k2.items), owner=k.owner, live=k.live)
        yield f"offer {item} superseding", cost is resend, cost(taken_from(s, i, k2).with_key(i, k2))


def _expiry(s: State, c: Config, i: int) -> Steps:
    """What open work must not do."""
    k = s.keys[i]
    if c.bug == "open_id_expires" and s.faults:
        for item in k.items:
            yield f"id {item} expires", True, fault(s.with_key(i, k._replace(ids=k.ids & ~(1 << item))))
    if c.bug == "open_state_expires" and s.faults and k.items:
        yield "state expires", True, fault(s.with_key(i, k._replace(items=(), size=0, idx=False)))


def _web(s: State, c: Config) -> Steps:
    """Second halves, for mutations that accept in two steps."""
    for j, (i, item) in enumerate(s.web):
        k, rest = s.keys[i], s._replace(web=s.web[:j] + s.web[j + 1 :])
        whole = append(k, item) if c.bug == "id_before_append" else k._replace(ids=k.ids | 1 << item)
        yield f"second half of {item}", False, rest.with_key(i, whole)
        if s.faults:
            yield f"web dies before second half of {item}", True, fault(rest)


# --- the pumps ---
def _pumps(s: State, c: Config) -> Steps:
    idle = False
    for j, pump in enumerate(s.pumps):
        if pump is not None:
            yield from _publishing(s, c, j, pump)
        elif not idle:  # pumps are alike: the first idle one acts
            idle = True
            yield from _taking(s, c, j)


def _taking(s: State, c: Config, j: int) -> Steps:
    for i, k in enumerate(s.keys):
        taken = take_due(k, c._replace(cap=1) if c.is_outbox(i) else c)
        if taken is None:
            continue
        k2, epoch = taken
        early = _travels(s, (i, epoch)) and k.size > 0  # premature: delayed, not lost
        # A suspect's renewals are overdue: it is dead, or this is a pause.
        pause = bool(k.size and k.live and k.suspect == 1 and works(s, i, k) and c.bug != "no_grace")
        if (early or pause) and not s.faults:
            continue
        following = (taken_from(s, i, k._replace(owner=0)) if pause else s).with_key(i, k2)
        following = following._replace(pumps=put(s.pumps, j, (i, epoch, False)))
        yield f"pump{j} takes {i}.{epoch}", early or pause, fault(following) if early or pause else following


def _travels(s: State, m: Message) -> bool:
    """Whether a copy of the message is anywhere."""
    with_workers = any(w and (w.key, w.epoch) == m for w in s.workers)
    return m in s.broker or with_workers or any(pump and pump[:2] == m for pump in s.pumps)


def _publishing(s: State, c: Config, j: int, pump: tuple[int, int, bool]) -> Steps:
    i, epoch, published = pump
    k = s.keys[i]
    if published:
        after = s.with_key(i, handed_over(k, epoch, c))._replace(pumps=put(s.pumps, j, None))
        yield f"pump{j} hands over {i}.{epoch}", False, after
    else:
        after = s.with_key(i, k._replace(sent=k.sent | 1 << epoch))
        after = after._replace(pumps=put(s.pumps, j, (i, epoch, True)), broker=plus(s.broker, (i, epoch)))
        yield f"pump{j} publishes {i}.{epoch}", False, after
    if s.faults:
        yield f"pump{j} dies", True, fault(s._replace(pumps=put(s.pumps, j, None)))


# --- the broker ---
def _broker(s: State, c: Config) -> Steps:
    for m in sorted(set(s.broker)):
        at = s.broker.index(m)
        rest = s._replace(broker=s.broker[:at] + s.broker[at + 1 :])
        if s.faults:
            yield f"broker loses {m}", True, fault(rest)
        if None in s.workers:
            token = 100 + 10 * m[0] + m[1] if c.bug == "owner_is_message" else _fresh_token(s)
            yield f"deliver {m} as {token}", False, rest.with_worker(s.workers.index(None), Worker("g", *m, token))
    for i, k in enumerate(s.keys if s.faults else ()):
        for epoch in range(1, k.epoch + 1):
            if k.sent >> epoch & 1 and s.broker.count((i, epoch)) < 2:
                yield f"broker repeats {i}.{epoch}", True, fault(s._replace(broker=plus(s.broker, (i, epoch))))


def _fresh_token(s: State) -> int:
    used = {w.token for w in s.workers if w} | {k.owner for k in s.keys} | ({s.operator[2]} if s.operator else set())
    return next(token for token in range(1, 99) if token not in used)


# --- an operator ---
def _operator(s: State, c: Config) -> Steps:
    if s.operator:
        i, epoch, owner = s.operator
        k, leaves = s.keys[i], s._replace(operator=None)
        if k.size and k.epoch == epoch and (k.owner == owner or c.bug == "unlock_no_cas"):
            k2 = unlock(k, c)
            freed = taken_from(leaves, i, k2) if k.owner == owner else leaves
            yield "operator unlocks", True, freed.with_key(i, k2)
        yield "operator goes away", False, leaves
    elif s.unlocks:
        for i, k in enumerate(s.keys):
            if k.owner:
                seen = (i, k.epoch, k.owner)
                yield "operator looks", True, s._replace(operator=seen, unlocks=s.unlocks - 1)

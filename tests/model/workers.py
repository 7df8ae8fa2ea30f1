"""The model of workers and their leases: a lease lapses for free when its worker is gone; while its worker lives, that
is a fault (a pause), and the worker goes on as a zombie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.model.mailboxes import Config, Key, Message, State, Worker, append, begin, finish, follow_up, renew
from tests.model.search import Broken

Steps = Iterator[tuple[str, bool, State]]
Cost = Callable[[State], State]


def free(s: State) -> State:
    """A step that costs nothing may be needed to complete."""
    return s


def fault(s: State) -> State:
    return s._replace(faults=s.faults - 1)


def plus(broker: tuple[Message, ...], m: Message) -> tuple[Message, ...]:
    return tuple(sorted((*broker, m)))


def worker_steps(s: State, c: Config, j: int, w: Worker) -> Steps:
    k, is_outbox = s.keys[w.key], c.is_outbox(w.key)
    crash = k._replace(crashed=k.crashed or k.owner == w.token)
    gone = s.with_key(w.key, crash).with_worker(j, None)
    returned = gone._replace(broker=plus(s.broker, (w.key, w.epoch)))
    if w.phase == "g":
        yield from _beginning(s, c, j, w)
    elif w.phase == "r" and not is_outbox and c.killer in w.items and w.lost < c.losses:
        yield f"{w.token} is killed by its item", False, returned
    elif w.phase == "r" and is_outbox:
        yield from _sending(s, c, j, w)
    else:
        yield from _ending(s, c, j, w)
    if w.phase == "r" and (not w.holds or (k.owner == w.token and k.suspect == 1)):
        yield from _renewing(s, c, j, w)
    if s.faults:
        yield f"{w.token} dies", True, fault(returned)
        yield f"{w.token} dies, its message is lost", True, fault(gone)


def _beginning(s: State, c: Config, j: int, w: Worker) -> Steps:
    i, k = w.key, s.keys[w.key]
    k2, w2 = begin(k, w, c)
    told = f"{w.token} begins {i}.{w.epoch}"
    yield f"{told}: {'runs' if w2 else 'dropped'}", False, s.with_key(i, k2).with_worker(j, w2)
    if not w2 and k.size and k.epoch == w.epoch and k.live and not k.suspect:  # a redelivered copy
        yield f"{told}: dropped, suspects", False, s.with_key(i, k._replace(suspect=1)).with_worker(j, None)
    if w2 and s.faults and not w.author:
        again = w._replace(author=w2.author, lost=w2.lost)
        yield f"{w.token} begins, answer lost", True, fault(s.with_key(i, k2).with_worker(j, again))


def _sending(s: State, c: Config, j: int, w: Worker) -> Steps:
    k = s.keys[w.key]
    if c.at_most_once and w.lost and c.bug != "takeover_resends":
        yield from _finishing(s, c, j, w, ok=False, bury=True, cost=free)  # ambiguous: bury, do not resend
        return
    sent = k._replace(effects=k.effects + w.items)
    yield f"{w.token} sends {w.items}", False, s.with_key(w.key, sent).with_worker(j, w._replace(phase="e"))
    if s.faults:
        yield from _finishing(s, c, j, w, ok=False, bury=False, cost=fault)  # an explicit rejection


def _ending(s: State, c: Config, j: int, w: Worker) -> Steps:
    i, k, is_outbox = w.key, s.keys[w.key], c.is_outbox(w.key)
    if w.phase == "r" and c.bug == "replies_before_finish":
        yield f"{w.token} replies", False, s.with_key(i, follow_up(k, w)).with_worker(j, w._replace(phase="e"))
    elif w.phase == "e" and c.bug == "replies_after_finish" and not is_outbox:
        yield f"{w.token} replies", False, s.with_key(i, follow_up(k, w)).with_worker(j, None)
    elif w.phase == "e" and c.bug == "two_step_release":
        yield f"{w.token} releases", False, s.with_key(i, k._replace(idx=False)).with_worker(j, None)
    else:
        fails = not is_outbox and (c.poison in w.items or w.lost >= c.losses)
        yield from _finishing(s, c, j, w, ok=not fails, bury=False, cost=free)
        if s.faults and not fails and w.phase != "F":
            yield from _finishing(s, c, j, w, ok=False, bury=is_outbox and c.at_most_once, cost=fault)


def _finishing(s: State, c: Config, j: int, w: Worker, *, ok: bool, bury: bool, cost: Cost) -> Steps:
    i, k = w.key, s.keys[w.key]
    k2, verdict = finish(k, w, c, ok, bury)
    settled, is_inbox, after = len(k2.done) > len(k.done), not c.is_outbox(i), None
    if verdict == "refused" and any(d.epoch == w.epoch and d.token == w.token for d in k2.done):
        raise Broken("told 'refused' about a turn it had settled")
    if settled and ok and is_inbox:
        after = w._replace(phase="e") if c.bug == "replies_after_finish" else None
        k2 = k2 if c.bug.startswith("replies_") else follow_up(k2, w)
    if settled and c.bug == "two_step_release" and not k2.items:
        after, k2 = w._replace(phase="e"), k2._replace(idx=True)
    new = cost(s.with_key(i, k2).with_worker(j, after))
    if settled and ok and c.outbox and is_inbox:
        new = new.with_key(1, append(new.keys[1], len(new.keys[1].arrived)))
    yield f"{w.token} finishes {i}.{w.epoch} {'ok' if ok else 'failed'}: {verdict}", cost is fault, new
    if settled and new.faults and after is None:
        asks = w._replace(phase="F", holds=False)
        yield f"{w.token} finishes, answer lost", True, fault(new.with_worker(j, asks))


def _renewing(s: State, c: Config, j: int, w: Worker) -> Steps:
    k = s.keys[w.key]
    if k.owner == w.token or c.bug == "renew_no_owner":
        renewed = s.with_key(w.key, renew(k, c)).with_worker(j, w._replace(holds=True))
        yield f"{w.token} renews", False, renewed
    else:
        yield f"{w.token} is told its lease is lost", False, s.with_worker(j, None)


# --- leases, and who holds them ---
def works(s: State, i: int, k: Key) -> bool:
    """Whether the owner's process lives."""
    return any(w and w.token == k.owner and w.key == i and w.phase in "gre" for w in s.workers)


def taken_from(s: State, i: int, new: Key) -> State:
    """A worker whose turn is taken away on purpose no longer counts as holding it."""
    old = s.keys[i].owner
    workers = (
        w._replace(holds=False) if w and w.key == i and w.token == old != new.owner else w for w in s.workers
    )  # fmt: skip
    return s._replace(workers=tuple(workers))


def lease_steps(s: State) -> Steps:
    for i, k in enumerate(s.keys):
        if not (k.owner and k.live):
            continue
        lapsed = s.with_key(i, k._replace(live=False))
        if not works(s, i, k):
            yield f"lease of {k.owner} lapses", False, lapsed
        elif s.faults:
            paused = taken_from(s, i, k._replace(owner=0))._replace(keys=lapsed.keys)
            yield f"{k.owner} is paused, its lease lapses", True, fault(paused)

"""The model of a mailbox: its state, and its verbs, each of them one atomic script.

A state is the store, the broker (a multiset of messages), the pumps, the workers, and ghosts that no verb may read.
Time is abstracted: a timer may fire at any moment it is allowed to. In all of the model, `k` is a Key, `w` a Worker,
`s` a State, `c` a Config, and `i` the place of a key. `c.bug` names the guard that a mutation drops.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.model.search import Broken, put

Items = tuple[int, ...]
#: A message: a claim check (key, epoch).
Message = tuple[int, int]


class Done(NamedTuple):
    """A completed turn. The committer's token is what `r:` remembers; the author says which execution it was."""

    epoch: int
    items: Items
    verdict: str
    token: int
    author: int


class Key(NamedTuple):
    """One mailbox. `items[:size]` is the open turn, `items[size:]` the buffer: an item has one place."""

    items: Items = ()
    size: int = 0
    epoch: int = 0
    owner: int = 0  # token of the delivery that runs the turn; 0 = nobody
    live: bool = False  # its lease has not lapsed
    suspect: int = 0  # a redelivered copy met the live lease; 2 = that is out of date (mutations only)
    fails: int = 0
    lost: int = 0  # executions of this turn that lost their lease: their outcome is unknown
    parts: Items = ()  # sizes of the next turns while a poisonous one is bisected
    #: -1 = published, 1 = the broker confirmed it, and the key is looked at as late as a queue may be; 0 = neither.
    pub: int = 0
    idx: bool = False  # in the due index
    ids: int = 0  # remembered item ids, a bit each
    # ghosts
    arrived: Items = ()  # accepted items in order of acceptance
    done: tuple[Done, ...] = ()
    out: tuple[tuple[int, int, int], ...] = ()  # replies that exist: (epoch, author, position)
    seen: Items = ()  # what the first begin of this epoch returned
    tries: int = 0  # executions of this turn
    sent: int = 0  # epochs that were published at least once, a bit each
    crashed: bool = False  # the owner's process died
    effects: Items = ()  # outbox only: replies that left for the provider


class Worker(NamedTuple):
    """A delivery in a worker. Phase g: it has a message; r: runs; e: ran, one more step to do; F: settled, answer
    lost."""

    phase: str
    key: int
    epoch: int
    token: int
    items: Items = ()
    author: int = 0
    lost: int = 0
    holds: bool = False  # ghost: its lease has not lapsed since it was last told "yours"


class State(NamedTuple):
    """The whole system. Faults share one budget; a provider's resends and an operator's unlocks have their own."""

    keys: tuple[Key, ...]
    broker: tuple[Message, ...] = ()  # sorted
    pumps: tuple[tuple[int, int, bool] | None, ...] = ()  # (key, epoch, published)
    workers: tuple[Worker | None, ...] = ()
    web: tuple[tuple[int, int], ...] = ()  # half-done accepts (mutations only)
    operator: tuple[int, int, int] | None = None  # what an operator read: (key, epoch, owner)
    faults: int = 0
    resends: int = 0
    unlocks: int = 0

    def with_key(self, i: int, k: Key) -> State:
        return self._replace(keys=put(self.keys, i, k))

    def with_worker(self, j: int, w: Worker | None) -> State:
        return self._replace(workers=put(self.workers, j, w))


class Config(NamedTuple):
    """How much of everything there is, and which faults."""

    name: str = ""
    messages: Items = (2,)  # per key
    cap: int = 2  # max_items of a window
    pumps: int = 2
    workers: int = 2
    faults: int = 2
    resends: int = 1
    unlocks: int = 0
    poison: int = -1  # item whose turn always fails
    killer: int = -1  # item whose execution always kills its worker
    attempts: int = 2  # failures before a turn is bisected or buried
    losses: int = 3  # lost leases before the same
    supersede: bool = False
    outbox: bool = False  # key 1 is the outbox of key 0: windows of one item, wait=0
    at_most_once: bool = False  # the outbox's policy
    bug: str = ""

    def is_outbox(self, i: int) -> bool:
        return self.outbox and i == 1


def replies(author: int) -> int:
    """Executions of one turn disagree, even about how many replies there are."""
    return 1 + author % 2


# --- accepting ---
def offer(k: Key, item: int, *, supersede: bool = False, coming: bool = False) -> Key:
    """Check and append in one step."""
    if k.ids >> item & 1:
        if item not in k.arrived and not coming:
            raise Broken("a suppressed duplicate without its original")
        return k
    return append(k._replace(ids=k.ids | 1 << item), item, supersede=supersede)


def append(k: Key, item: int, *, supersede: bool = False) -> Key:
    """What `offer` and a follow-up of `finish` do with an item that is not known."""
    k = k._replace(items=(*k.items, item), arrived=(*k.arrived, item))
    if supersede and k.size and not k.parts:
        k = dissolve(k)
    return k if k.size else k._replace(idx=True)


def dissolve(k: Key) -> Key:
    """End the turn; its items stay where they are."""
    return k._replace(size=0, owner=0, live=False, suspect=0, fails=0, lost=0, pub=0)


# --- publishing ---
def take_due(k: Key, c: Config) -> tuple[Key, int] | None:
    """Return the key and the epoch to publish, or None when there is nothing to do for this key now."""
    if not k.idx or not k.items:
        return None
    if k.size and c.bug != "take_ignores_turn":
        if _untouched(k, c):
            return None
        return k._replace(pub=-1, live=False, suspect=0), k.epoch
    n = min(len(k.items), k.parts[0] if k.parts else c.cap)
    if c.bug == "retry_keeps_epoch" and k.fails:
        return k._replace(size=n, pub=-1), k.epoch
    return k._replace(size=n, epoch=k.epoch + 1, parts=k.parts[1:], fails=0, pub=-1, seen=(), tries=0), k.epoch + 1


def _untouched(k: Key, c: Config) -> bool:
    """Whether an open turn needs no publication: it runs (or a mutation overlooks it)."""
    runs = (k.live and not k.suspect) or c.bug == "lapsed_lease_ignored"
    forgotten = k.pub == 1 and c.bug == "no_republication"
    unpublished = k.pub != 1 and not k.owner and not k.fails
    return bool((k.owner and runs) or forgotten or (unpublished and c.bug == "no_publish_lease"))


def handed_over(k: Key, epoch: int, c: Config) -> Key:
    """Note a confirmation, unless somebody began meanwhile. An owner whose lease is over is nobody."""
    if not k.size or k.pub != -1 or (k.epoch != epoch and c.bug != "handed_over_no_epoch"):
        return k
    if not k.sent >> k.epoch & 1:
        raise Broken("handed over, but never published")
    return k._replace(pub=1)


# --- running ---
def begin(k: Key, w: Worker, c: Config) -> tuple[Key, Worker | None]:
    """Return the key, and the worker that runs, or None when the delivery is to be dropped."""
    if not k.size or (k.epoch != w.epoch and c.bug != "begin_no_epoch"):
        return k, None  # done or stale
    mine = k.owner == w.token and c.bug != "not_reentrant"
    if not mine and k.owner and k.live and c.bug != "steal_live_lease":
        return k, None  # busy
    lost = k.lost + (k.owner not in (0, w.token) and c.bug != "losses_uncounted")
    items = k.items[: k.size] if c.bug != "begin_returns_all" else k.items
    if k.seen and k.seen != items:
        raise Broken("one turn, two sets of members")
    author = w.author if mine and w.author else min(k.tries + 1, 4)
    stale = 2 if k.suspect and c.bug == "begin_keeps_suspicion" else 0
    k = k._replace(owner=w.token, live=True, suspect=stale, crashed=False, lost=lost, seen=items)
    k = k._replace(tries=max(k.tries, author), pub=k.pub if c.bug == "begin_keeps_publication" else 0)
    return k, w._replace(phase="r", items=items, author=author, lost=lost, holds=True)


def renew(k: Key, c: Config) -> Key:
    """The owner renews its lease. A lapsed one may have been published: it is looked at when the lease ends again."""
    stale = 2 if k.suspect and c.bug == "renew_keeps_suspicion" else 0
    return k._replace(live=k.owner > 0, suspect=stale, pub=k.pub if c.bug == "renew_keeps_publication" else 0)


def finish(k: Key, w: Worker, c: Config, ok: bool, bury: bool = False) -> tuple[Key, str]:
    """Settle (or keep, split, bury) the turn and open the next window, in one step; return the verdict, too."""
    mine = k.owner == w.token or c.bug == "finish_no_owner"
    same = k.epoch == w.epoch or c.bug in ("finish_no_epoch", "begin_no_epoch")
    if not k.size or not mine or not same:
        again = any(d.epoch == w.epoch and d.token == w.token for d in k.done)
        return k, "settled" if again and c.bug != "finish_not_repeatable" else "refused"
    if not ok and not bury:
        if k.fails + 1 < c.attempts and w.lost < c.losses:
            return _retry(k, c), "kept"
        if k.size > 1 and c.bug != "no_bisection":
            half = k.size // 2
            return dissolve(k)._replace(parts=(half, k.size - half, *k.parts)), "kept"
    return _settle(k, w, ok), "settled"


def _retry(k: Key, c: Config) -> Key:
    turn, rest = k.items[: k.size], k.items[k.size :]
    k = k._replace(owner=0, live=False, suspect=0, fails=k.fails + 1, pub=0)
    if c.bug == "retry_to_the_back":
        return k._replace(items=rest + turn, size=0)
    return k._replace(size=0) if c.bug == "retry_keeps_epoch" else k


def _settle(k: Key, w: Worker, ok: bool) -> Key:
    turn, rest = k.items[: k.size], k.items[k.size :]
    if k.epoch != w.epoch:
        raise Broken("a message completed another message's turn")
    if ok and turn != w.items:
        raise Broken("settled members that its responder never saw")
    done = Done(k.epoch, turn, "ok" if ok else "dead", w.token, w.author)
    return dissolve(k)._replace(items=rest, done=(*k.done, done), idx=bool(rest))


def follow_up(k: Key, w: Worker) -> Key:
    """The turn's replies join the outbox; ids are turn + position, so a repeated position is a duplicate."""
    have = {(epoch, position) for epoch, _, position in k.out}
    new = [(w.epoch, w.author, p) for p in range(replies(w.author)) if (w.epoch, p) not in have]
    return k._replace(out=(*k.out, *new))


def unlock(k: Key, c: Config) -> Key:
    """Take the turn from its owner, who may have had an effect."""
    lost = k.lost + (k.owner > 0 and c.bug != "unlock_uncounted")
    return k._replace(owner=0, live=False, suspect=0, pub=0, lost=lost)

"""What must hold of the model in every state, what completion is, and which states are one."""

from __future__ import annotations

from tests.model.mailboxes import Config, Key, State, replies


def start(c: Config) -> State:
    """Nothing has arrived."""
    return State(
        (Key(),) * len(c.messages), (), (None,) * c.pumps, (None,) * c.workers,
        faults=c.faults, resends=c.resends, unlocks=c.unlocks,
    )  # fmt: skip


def broken(s: State, c: Config) -> str:
    """Return the first violated invariant, or nothing."""
    for i, k in enumerate(s.keys):
        if wrong := _misplaced(k, c) or _held_wrongly(s, c, i, k) or _answered_wrongly(s, c, k):
            return wrong
    return ""


def _misplaced(k: Key, c: Config) -> str:
    if len(set(k.arrived)) != len(k.arrived):
        return "an item was accepted twice"
    if k.arrived != tuple(item for d in k.done for item in d.items) + k.items:
        return "lost, doubled or out of order"
    guilty = {(c.poison,), (c.killer,)}
    if c.poison + c.killer > -2 and any(d.verdict == "dead" and d.items not in guilty for d in k.done):
        return "an innocent item was buried"
    return ""


def _held_wrongly(s: State, c: Config, i: int, k: Key) -> str:
    # These mutations go on after they have finished, which is no second run.
    running = "r" if c.bug in ("two_step_release", "replies_after_finish") else "re"
    mine = [w for w in s.workers if w and w.key == i]
    if sum(w.holds and w.phase in running for w in mine) > 1:
        return "two workers hold one key"
    if k.owner and k.live and not k.crashed and not any(w.token == k.owner for w in mine):
        return "a lease without its worker"
    if k.owner and k.live and k.pub == 1:
        return "a lease whose end nobody looks at"
    return ""


def _answered_wrongly(s: State, c: Config, k: Key) -> str:
    epochs = [epoch for epoch, _, _ in k.out]
    if len({(epoch, author) for epoch, author, _ in k.out}) != len(set(epochs)):
        return "replies of one turn from two executions"
    if epochs != sorted(epochs):
        return "replies out of order"
    buried = {item for d in k.done if d.verdict == "dead" for item in d.items}
    first = [item for item in dict.fromkeys(k.effects) if item not in buried]
    if first != sorted(first):
        return "replies left out of order"
    if len(set(k.effects)) != len(k.effects) and (c.at_most_once or s.faults == c.faults):
        return "a reply left twice"
    return ""


def goal(s: State, c: Config) -> bool:
    """Everything accepted, settled and answered; nothing open, nobody busy."""
    if any(s.workers) or any(s.pumps) or s.web or s.broker or any(k.items or k.idx or k.owner for k in s.keys):
        return False
    for k, total in zip(s.keys[:1] if c.outbox else s.keys, c.messages, strict=False):
        want = tuple((d.epoch, d.author, p) for d in k.done if d.verdict == "ok" for p in range(replies(d.author)))
        if len(k.arrived) != total or k.out != want:
            return False
    return True


def canonical(s: State) -> State:
    """Workers are alike, and pumps are alike; a committer's token matters only while its worker may ask again."""
    asking = {(w.key, w.token) for w in s.workers if w and w.phase == "F"}
    keys = tuple(_without_tokens(k, {token for at, token in asking if at == i}) for i, k in enumerate(s.keys))
    order = sorted(s.workers, key=lambda w: (w is None, w or ()))
    operator = {s.operator[2]} if s.operator else set()
    owners = sorted(token for token in {k.owner for k in keys} | operator if 0 < token < 100)
    names: dict[int, int] = {}
    for token in [w.token for w in order if w and w.token < 100] + owners:
        names.setdefault(token, len(names) + 1)
    if any(old != new for old, new in names.items()):
        keys = tuple(_renamed(k, names) for k in keys)
        order = [w and w._replace(token=names.get(w.token, w.token)) for w in order]
    pumps = tuple(sorted(s.pumps, key=lambda pump: (pump is None, pump or ())))
    seen = s.operator and (*s.operator[:2], names.get(s.operator[2], s.operator[2]))
    return s._replace(keys=keys, workers=tuple(order), pumps=pumps, operator=seen)


def _without_tokens(k: Key, asking: set[int]) -> Key:
    if all(d.token in asking or not d.token for d in k.done):
        return k
    return k._replace(done=tuple(d if d.token in asking else d._replace(token=0) for d in k.done))


def _renamed(k: Key, names: dict[int, int]) -> Key:
    done = tuple(d._replace(token=names.get(d.token, d.token)) for d in k.done)
    return k._replace(owner=names.get(k.owner, k.owner), done=done)

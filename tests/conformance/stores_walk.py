"""A random walk through the ledger, against a reference of what must hold.

Messages are lost, repeated and redelivered; workers stall past their leases and wake as zombies; turns fail, are split,
superseded, buried, replayed, unlocked and forgotten; keys overflow. The reference knows only what was accepted and what
was settled, and says of every answer whether it may be.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from chatbot.stores.values import Begun, ClaimCheck, Lease, Offer, Offered, Outcome, Window
from tests.conformance.ledgers import Ledger, bodies

LEASE, GRACE, PUBLISH_LEASE, AGAIN = 12, 5, 8, 15
ROOM, SPACE = 12, 900
KEYS = ("turn/0", "turn/1", "turn/2")


def policy(wait: int = 4) -> Window:
    """Return a policy small enough that everything happens."""
    return Window(
        wait=wait, max_wait=15, max_items=3, max_bytes=400, max_buffered=ROOM, max_buffered_bytes=SPACE
    )  # fmt: skip


@dataclass
class Expected:
    """What must hold of one key: what is open in its order, and what became of the rest."""

    open: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    #: Per epoch, the members that its first run saw.
    members: dict[int, list[str]] = field(default_factory=dict)
    buried: dict[int, list[str]] = field(default_factory=dict)
    #: Epochs that began before the key was forgotten.
    void: set[int] = field(default_factory=set)

    @property
    def known(self) -> list[str]:
        return [*self.open, *self.done, *self.gone]


@dataclass
class Run:
    """A worker that thinks it holds a turn."""

    check: ClaimCheck
    owner: str
    items: list[str]
    fails: int


class Walk:
    """One walk. Every answer of the store is counted, so that a test can tell whether everything was met."""

    def __init__(self, ledger: Ledger, seed: int) -> None:
        self.ledger, self.store, self.random = ledger, ledger.store, random.Random(seed)
        self.expected = {key: Expected() for key in KEYS}
        self.taken: list[ClaimCheck] = []
        self.messages: list[ClaimCheck] = []
        self.runs: list[Run] = []
        self.beats: dict[str, tuple[str, int]] = {}
        self.answers: Counter[str] = Counter()
        self.names = 0
        self.draining = False

    # --- the walk ---
    def step(self) -> None:
        """Do one thing, and look at one key as an operator does."""
        action = self.random.choices(
            [self.offer, self.take, self.publish, self.begin, self.work, self.operate], [6, 29, 15, 25, 23, 2]
        )[0]
        action()
        del self.messages[:-30]
        self.check(self.random.choice(KEYS))

    def drained(self) -> bool:
        """Tell whether nothing is open any more."""
        return not any(expected.open for expected in self.expected.values())

    def check(self, key: str) -> None:
        """What an operator sees is what was accepted and neither settled nor withdrawn; nothing has an idle key."""
        seen, expected = self.store.inspect(key), self.expected[key]
        assert seen.size + seen.buffered == len(expected.open), (key, seen, expected.open)
        assert (seen.state == "idle") == (seen.due_in is None) == (not expected.open), (key, seen, expected.open)
        assert not (expected.done & set(expected.open)), (key, expected)

    def _name(self) -> str:
        self.names += 1
        return f"{self.names:06d}" + "x" * self.random.randint(0, 120)

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # --- web ---
    def offer(self) -> None:
        if self.draining:
            return
        offers = [self._an_offer() for _ in range(self.random.randint(1, 4))]
        for offer, answer in zip(offers, self.store.offer(offers), strict=True):
            self.answers[answer.verdict] += 1
            self._judge(offer, answer)

    def _an_offer(self) -> Offer:
        key = self.random.choice(KEYS)
        known, still = self.expected[key].known, self.expected[key].open
        window = policy(self.random.choice([0, 4, 4]))
        if still and self._chance(0.1):
            target = self.random.choice(still)
            return Offer(
                key=key, item_id=self._name(), body=b"", window=window, mode="withdraw", target=target
            )  # fmt: skip
        name = self.random.choice(known) if known and self._chance(0.25) else self._name()
        mode = "supersede" if self._chance(0.25) else "queue"
        return Offer(key=key, item_id=name, body=name.encode(), window=window, mode=mode)  # type: ignore[arg-type]

    def _judge(self, offer: Offer, answer: Offered) -> None:
        expected, name = self.expected[offer.key], offer.item_id
        full = len(expected.open) >= ROOM or sum(map(len, expected.open)) + len(name) > SPACE
        match answer.verdict:
            case "withdrawn":
                assert offer.target in expected.open
                expected.open.remove(offer.target)
                expected.gone.add(offer.target)
            case "late":
                assert offer.mode == "withdraw"
            case "duplicate":
                assert name in expected.known, (name, answer)
                assert (answer.epoch == -1) == (name in expected.gone), (name, answer)
                assert (answer.epoch == 0) == (name in expected.open), (name, answer)
            case "overflow":
                assert name not in expected.known
                assert full, (name, expected.open)
            case _:
                assert name not in expected.known
                assert not full, (name, expected.open)
                expected.open.append(name)

    # --- pumps and broker ---
    def take(self) -> None:
        self.taken += self.store.take_due(self.random.randint(1, 4), PUBLISH_LEASE, AGAIN).checks

    def publish(self) -> None:
        if not self.taken:
            return
        check = self.taken.pop(self.random.randrange(len(self.taken)))
        if not self.draining and self._chance(0.3):
            return
        self.messages += [check] * (2 if self._chance(0.3) else 1)
        if self._chance(0.8):
            self.answers[f"handed over {self.store.handed_over([check], AGAIN)[0]}"] += 1

    # --- workers ---
    def begin(self) -> None:
        if not self.messages:
            return
        check = self.random.choice(self.messages)
        if self._chance(0.8):
            self.messages.remove(check)
        self.names += 1
        owner = f"worker/{self.names}"
        before, grace = self.ledger.now(), GRACE if self._chance(0.4) else 0
        begun = self.store.begin(check, owner, LEASE, grace)
        self.answers[begun.verdict] += 1
        self._judge_begun(check, begun)
        if begun.verdict in ("new", "taken"):
            self.beats[check.key] = (owner, before)
            if self._chance(0.1):
                self._begin_again(check, owner, bodies(begun))
            if self.draining or self._chance(0.9):
                self.runs.append(Run(check, owner, bodies(begun), begun.fails))

    def _begin_again(self, check: ClaimCheck, owner: str, items: list[str]) -> None:
        """The answer was lost, so the same delivery asks again; nobody else has asked meanwhile."""
        before = self.ledger.now()
        again = self.store.begin(check, owner, LEASE)
        assert (again.verdict, bodies(again)) == ("mine", items)
        self.beats[check.key] = (owner, before)

    def _judge_begun(self, check: ClaimCheck, begun: Begun) -> None:
        expected, epoch = self.expected[check.key], check.epoch
        if epoch in expected.void:
            assert begun.verdict == "stale", begun
        if begun.verdict == "buried":
            assert epoch in expected.buried
        if begun.verdict == "done":
            assert epoch in expected.members
            assert epoch not in expected.buried
        if begun.verdict == "taken" and check.key in self.beats:
            assert self.ledger.now() - self.beats[check.key][1] >= GRACE, "taken over before the grace"
        if begun.verdict in ("new", "taken"):
            items = bodies(begun)
            assert items == expected.open[: len(items)], (items, expected.open)
            assert expected.members.setdefault(epoch, items) == items, "one turn, two sets of members"

    def work(self) -> None:
        if not self.runs:
            return
        run = self.random.choice(self.runs)
        if self._chance(0.3):
            self._renew(run)
        else:
            self.runs.remove(run)
            self._finish(run)

    def _renew(self, run: Run) -> None:
        before = self.ledger.now()
        held = self.store.renew([Lease("turn", run.check.key, run.owner)], LEASE)[0]
        self.answers[f"renewed {held}"] += 1
        if held:
            assert self.beats[run.check.key][0] == run.owner, "renewed for somebody else"
            self.beats[run.check.key] = (run.owner, before)

    def _finish(self, run: Run) -> None:
        key, epoch, expected = run.check.key, run.check.epoch, self.expected[run.check.key]
        outcome = self._outcome(run)
        verdict = self.store.finish(run.check, run.owner, outcome, delay=self.random.choice([0, 5]))
        self.answers[f"{outcome}: {verdict}"] += 1
        if verdict != "refused":
            assert self.beats[key][0] == run.owner, "two workers held one key"
            assert epoch not in expected.void
        if verdict == "settled":
            assert run.items == expected.open[: len(run.items)]
            del expected.open[: len(run.items)]
            expected.done |= set(run.items)
            if outcome == "dead":
                expected.buried[epoch] = run.items
            assert self.store.finish(run.check, run.owner, outcome) == "settled", "told 'refused' of what it settled"

    def _outcome(self, run: Run) -> Outcome:
        dice = self.random.random()
        if dice < 0.6:
            return "ok"
        if dice < 0.72:
            return "dead"
        if run.fails < 2:
            return "retry"
        return "split" if len(run.items) > 1 else "dead"

    # --- operators ---
    def operate(self) -> None:
        key = self.random.choice(KEYS)
        actions: list[Callable[[str], None]] = [self._unlock] if self.draining else [self._unlock, self._replay]
        if not self.draining and self._chance(0.05):
            actions = [self._forget]
        self.random.choice(actions)(key)

    def _unlock(self, key: str) -> None:
        seen = self.store.inspect(key)
        if seen.owner:
            self.answers[f"unlocked {self.store.unlock(key, seen.epoch, seen.owner)}"] += 1

    def _replay(self, key: str) -> None:
        expected = self.expected[key]
        if not expected.buried or len(expected.open) > 4 or sum(map(len, expected.open)) > 300:
            return
        epoch = self.random.choice(list(expected.buried))
        items, count = expected.buried[epoch], self.store.replay(key, epoch, policy())
        self.answers["replayed"] += 1
        assert count in (0, len(items))
        if count:
            expected.done -= set(items)
            expected.open += items

    def _forget(self, key: str) -> None:
        self.store.forget(key)
        self.answers["forgotten"] += 1
        old, copies = self.expected[key], [*self.taken, *self.messages, *(run.check for run in self.runs)]
        void = old.void | set(old.members) | {check.epoch for check in copies if check.key == key}
        # Names are never used again, so ids of completed items that stay known cannot be met.
        self.expected[key] = Expected(void=void)

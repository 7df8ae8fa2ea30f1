"""The ledger's verbs, as every store implements them.

The store holds the truth about every accepted call; the broker only carries claim checks. Each verb is atomic, uses
the store's own clock, and may be sent twice: a lost answer is repaired by asking again. `docs/architecture.md` tells
the protocol; durations are in ms, sizes in bytes, epochs in us.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from chatbot.stores.operators import Operators
from chatbot.stores.values import (
    Begun,
    Claim,
    ClaimCheck,
    Due,
    FinishVerdict,
    FollowUp,
    Lease,
    MailboxState,
    Mended,
    Offer,
    Offered,
    Outcome,
    Settling,
    Survey,
    Wanted,
    Window,
)


class Store(Operators):
    """The ledger. Every verb raises StoreUnavailable when the answer is unknown; asking again is always safe."""

    #: Whether the verbs wait with `chatbot.bridge.wait` where they are called on an event loop. The web process calls
    #: those of other stores in a thread.
    cooperates: ClassVar[bool] = False

    @abstractmethod
    def check(self) -> None:
        """Raise ConfigurationError unless the store can be trusted with the ledger; called once at start."""

    @abstractmethod
    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers."""

    # --- mailboxes ---
    @abstractmethod
    def offer(self, offers: Sequence[Offer]) -> list[Offered]:
        """Append each call to its key's window, unless its id is known or the buffer is full."""

    @abstractmethod
    def take_due(self, limit: int, publish_lease: int, again: int) -> Due:
        """Freeze the windows that are due into turns, and return every turn that needs a publication now.

        A turn that is not handed over within `publish_lease` is returned again; one that was handed over is
        suspected of being lost after `again`, then twice as late each time.
        """

    @abstractmethod
    def handed_over(self, checks: Sequence[ClaimCheck], again: int) -> list[bool]:
        """Note that the broker confirmed these publications. False: it no longer matters."""

    @abstractmethod
    def begin(self, check: ClaimCheck, owner: str, lease: int, grace: int = 0) -> Begun:
        """Claim a turn for one delivery of its message, and get its items.

        `grace` > 0 says that the broker itself redelivered this copy: if the turn is busy, its owner is suspected
        and loses the lease `grace` after its last renewal.
        """

    @abstractmethod
    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        """Prolong leases. False: it is lost, and its run must have no further effect."""

    @abstractmethod
    def finish(
        self,
        check: ClaimCheck,
        owner: str,
        outcome: Outcome,
        *,
        value: bytes = b"",
        delay: int = 0,
        result_ttl: int = 3_600_000,
        follow_ups: Sequence[FollowUp] = (),
    ) -> FinishVerdict:
        """End a run: `ok` and `dead` settle the turn (with its follow-ups, in one step), `retry` keeps it for `delay`,
        `split` bisects it. `refused`: somebody else holds it, so everything of this run is void."""

    @abstractmethod
    def unlock(self, key: str, epoch: int, owner: str) -> bool:
        """Take a turn from its owner, if both are what the operator saw."""

    @abstractmethod
    def replay(self, key: str, epoch: int, window: Window) -> int:
        """Offer the items of a buried turn again; return how many are open again."""

    @abstractmethod
    def forget(self, key: str) -> int:
        """Erase what is open or buried under a key and its results; return how many items that were."""

    @abstractmethod
    def inspect(self, key: str) -> MailboxState:
        """Show a key to an operator. Reads only."""

    @abstractmethod
    def sleep(self, timeout: float) -> None:
        """Return when a window may be due earlier than thought, or after `timeout` ms; one of all that sleep does."""

    @abstractmethod
    def wake(self) -> None:
        """Let one that sleeps return: who goes away after its own sleep may have taken what was meant for another."""

    # --- for the sweep: bounded steps, never on the way of a message ---
    @abstractmethod
    def survey(self) -> list[Survey]:
        """Count what is open, per partition. Reads only."""

    @abstractmethod
    def mend(self, cursor: str, count: int) -> Mended:
        """Go on from a cursor (empty: begin), look at about `count` keys, and schedule every key whose state nothing
        would look at again. A key that was there from begin to end of a pass is seen."""

    @abstractmethod
    def prune_dead(self, age: int, count: int) -> int:
        """Drop dead letters that were buried `age` ms ago or earlier, at most `count` in each partition, and return how
        many those were. Their turns stay settled."""

    # --- standalone records ---
    @abstractmethod
    def claim(self, key: str, owner: str, lease: int, fingerprint: str = "", *, redelivered: bool = False) -> Claim:
        """Take the record, or learn who has it and what it holds.

        `redelivered` says that the broker gave up on an earlier delivery of this call. If the owner is another delivery
        of the same call (what stands before the `/`), it is suspected: it has the record only for the `grace` of its
        own lease after its last renewal, and `remaining` ends there.
        """

    def claim_many(self, wanted: Sequence[Wanted]) -> list[Claim | Exception]:
        """Take several records; a store at the other end of a network does it in one round trip. Return for each what
        `claim` would return, or raise, alone."""
        return [self._claim_one(one) for one in wanted]

    def _claim_one(self, wanted: Wanted) -> Claim | Exception:
        try:
            return self.claim(
                wanted.key, wanted.owner, wanted.lease, wanted.fingerprint, redelivered=wanted.redelivered
            )
        except Exception as exc:
            return exc

    @abstractmethod
    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        """Mark the record done for `ttl` and keep its value for `value_ttl`. Returns the record's value (the first one
        stays), or None if somebody else holds it."""

    def settle_many(self, settled: Sequence[Settling]) -> list[bytes | Exception | None]:
        """Settle several records; a store at the other end of a network does it in one round trip. Return for each what
        `settle` would return, or raise, alone."""
        return [self._settle_one(one) for one in settled]

    def _settle_one(self, one: Settling) -> bytes | Exception | None:
        try:
            return self.settle(one.key, one.owner, one.fingerprint, one.value, one.ttl, one.value_ttl)
        except Exception as exc:
            return exc

    @abstractmethod
    def release(self, key: str, owner: str) -> bool:
        """Drop the claim if it is pending and ours."""

    # --- what was said, for responders ---
    @abstractmethod
    def remember(self, subject: str, entry_id: str, entry: bytes, most: int, ttl: int) -> None:
        """Add an entry to the subject's history, in place of one with the same id, and keep the newest `most`."""

    @abstractmethod
    def recall(self, subject: str) -> list[bytes]:
        """Return the subject's history, oldest first."""

    @abstractmethod
    def close(self) -> None:
        """Give back connections."""

"""The ledger in Redis or Valkey (7.0 or newer): every verb is one Lua script, and time is the server's own.

All keys of a conversation share one partition, `{namespace:p}`, so the same scripts run on a cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar, cast

from chatbot.stores.bell import Bell
from chatbot.stores.clients import find
from chatbot.stores.nap import Nap
from chatbot.stores.partitions import Arg, Partitions
from chatbot.stores.redis_check import check_partitions, check_server
from chatbot.stores.redis_errors import wrapped
from chatbot.stores.redis_operators import RedisOperators
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
    kept,
    plain,
    subject,
)
from chatbot.stores.wire import (
    claim_args,
    follow_up_args,
    offer_args,
    read_begun,
    read_claim,
    read_state,
    read_survey,
    settle_args,
    window_args,
)

T = TypeVar("T")
A = TypeVar("A", Wanted, Settling)

#: ms around now, and keys, among which `survey` counts running turns: twice the lease on either side.
NEAR, MOST_COUNTED = 10_000, 1_000
#: How long a sleeping pump may block, in ms: shorter than the lease, and than the client's socket timeout.
LONGEST_SLEEP = 4_000
#: How many partitions a ledger is begun with, unless the configuration says.
ON_A_CLUSTER, ELSEWHERE = 64, 1


class RedisStore(RedisOperators):
    """The ledger on Redis or Valkey: one server, a Sentinel's master or a cluster, see chatbot/stores/clients.py.

    `partitions` is for good: by default 64 on a cluster, else 1. With `replicas`, an offer or a claim is answered only
    when so many replicas have it.
    """

    cooperates = True

    def __init__(
        self, url: str, *, namespace: str = "chatbot", partitions: int | None = None, replicas: int = 0, **options: Any
    ) -> None:
        self._servers = find(url, **options)
        self.namespace = namespace
        self.partitions = partitions or (ON_A_CLUSTER if self._servers.clustered else ELSEWHERE)
        self._ledger = Partitions(self._servers, namespace, self.partitions, replicas)
        self._sleepers = threading.local()

    @property
    def client(self) -> Any:
        """redis-py's client of this store; of a cluster it connects when it is first asked for."""
        return self._servers.client

    def servers(self) -> list[Any]:
        """Return a client of each server: of a cluster, its masters."""
        return self._servers.every()

    # --- start and stop ---
    def check(self) -> None:
        with wrapped():
            for server in self.servers():
                check_server(server.info(), clustered=self._servers.clustered)
            check_partitions(self.client, self._ledger.tags[0] + "m", self.namespace, self.partitions)

    def ping(self) -> None:
        with wrapped():
            for server in self.servers():
                server.ping()

    def close(self) -> None:
        self._servers.close()

    # --- mailboxes ---
    def offer(self, offers: Sequence[Offer]) -> list[Offered]:
        answers = self._ledger.batch("offer", offers, lambda o: o.key, offer_args, replicated=True)
        return [Offered(a[0].decode(), int(a[1]) if len(a) > 1 else None) for a in answers]

    def take_due(self, limit: int, publish_lease: int, again: int) -> Due:
        share = max(1, limit // self.partitions)
        # While a master of a cluster is away, what the others have goes on.
        answers = self._ledger.anywhere("take_due", share, publish_lease, again)
        checks = [ClaimCheck(k.decode(), int(e), int(s)) for taken, _ in answers for k, e, s in taken]
        return Due(checks, min((look for _, look in answers if look >= 0), default=None))

    def handed_over(self, checks: Sequence[ClaimCheck], again: int) -> list[bool]:
        answers = self._ledger.batch(
            "handed_over", checks, lambda c: c.key, lambda c: (c.key, c.epoch, c.stamp), head=(again,), size=len(checks)
        )
        return [a == 1 for a in answers]

    def begin(self, check: ClaimCheck, owner: str, lease: int, grace: int = 0) -> Begun:
        plain(owner)
        mailbox = check.key.partition("/")[0]
        answer = self._ledger.call("begin", check.key, check.epoch, owner, lease, mailbox, check.stamp, grace)
        return read_begun(answer)

    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        answers = self._ledger.batch(
            "renew", leases, lambda x: x.key, lambda x: (x.kind, x.key, x.owner), head=(lease,), size=len(leases)
        )
        return [a == 1 for a in answers]

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
        plain(owner)
        if result_ttl < 1:
            raise ValueError("result_ttl must be positive")
        if strays := {f.key for f in follow_ups if subject(f.key) != subject(check.key)}:
            raise ValueError(f"follow-ups stay with their turn's subject {subject(check.key)!r}: not {sorted(strays)}")
        args = [arg for follow_up in follow_ups for arg in follow_up_args(follow_up)]
        answer = self._ledger.call("finish", check.key, check.epoch, owner, outcome, value, delay, result_ttl, *args)
        if answer[0] == b"single":
            raise ValueError("a turn of one item cannot be split")
        verdict: FinishVerdict = answer[0].decode()
        return verdict

    def unlock(self, key: str, epoch: int, owner: str) -> bool:
        return bool(self._ledger.call("unlock", key, epoch, owner)[0] == b"unlocked")

    def replay(self, key: str, epoch: int, window: Window) -> int:
        return int(self._ledger.call("replay", key, epoch, *window_args(window)[:5]))

    def forget(self, key: str) -> int:
        return int(self._ledger.call("forget", key))

    def inspect(self, key: str) -> MailboxState:
        return read_state(self._ledger.call("inspect", key))

    def sleep(self, timeout: float) -> None:
        with wrapped():
            self._nap().sleep(max(0.1, min(timeout, LONGEST_SLEEP)) / 1000)  # nothing would be for ever

    def _nap(self) -> Nap | Bell:
        if not hasattr(self._sleepers, "nap"):
            wakes = [tag + "wake" for tag in self._ledger.tags]
            one = not self._servers.clustered
            self._sleepers.nap = Nap(self.client, wakes) if one else Bell(self._servers, f"{self.namespace}:wake")
        return cast(Nap | Bell, self._sleepers.nap)

    def wake(self) -> None:
        self._ledger.at(0, "wake")

    # --- for the sweep ---
    def survey(self) -> list[Survey]:
        return [read_survey(answer) for answer in self._ledger.everywhere("survey", NEAR, MOST_COUNTED)]

    def mend(self, cursor: str, count: int) -> Mended:
        partition, _, at = (cursor or "0:0").partition(":")
        next_at, seen, mended = self._ledger.at(int(partition), "mend", at, count)
        if next_at != b"0":
            return Mended(f"{partition}:{next_at.decode()}", seen, mended)
        following = int(partition) + 1
        return Mended(f"{following}:0" if following < self.partitions else "", seen, mended)

    def prune_dead(self, age: int, count: int) -> int:
        return sum(self._ledger.everywhere("prune_dead", age, count))

    # --- standalone records ---
    def claim(self, key: str, owner: str, lease: int, fingerprint: str = "", *, redelivered: bool = False) -> Claim:
        (answer,) = self.claim_many([Wanted(key, owner, lease, fingerprint, redelivered)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def claim_many(self, wanted: Sequence[Wanted]) -> list[Claim | Exception]:
        return self._each("claim", wanted, claim_args, read_claim, replicated=True)

    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        (answer,) = self.settle_many([Settling(key, owner, fingerprint, value, ttl, value_ttl)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def settle_many(self, settled: Sequence[Settling]) -> list[bytes | Exception | None]:
        return self._each("settle", settled, settle_args, _settled)

    def _each(
        self,
        verb: str,
        asked: Sequence[A],
        args_of: Callable[[A], tuple[Arg, ...]],
        read: Callable[[Any], T],
        *,
        replicated: bool = False,
    ) -> list[T | Exception]:
        """Run a verb on each record, in one round trip; what cannot be asked is no reason not to ask the others."""
        refusals = [_refusal(one) for one in asked]
        sound = [one for one, refusal in zip(asked, refusals, strict=True) if refusal is None]
        answers = iter(self._ledger.each(verb, sound, attrgetter("key"), args_of, replicated=replicated))
        told = (refusal or next(answers) for refusal in refusals)
        return [answer if isinstance(answer, Exception) else read(answer) for answer in told]

    def release(self, key: str, owner: str) -> bool:
        return bool(self._ledger.call("release", key, owner))

    # --- what was said ---
    def remember(self, subject: str, entry_id: str, entry: bytes, most: int, ttl: int) -> None:
        kept(most, ttl)
        self._ledger.at(self._ledger.slot(subject), "remember", subject, entry_id, entry, most, ttl)

    def recall(self, subject: str) -> list[bytes]:
        return [entry.partition(b"\n")[2] for entry in self._list("h:", subject, subject)]


def _refusal(asked: Wanted | Settling) -> ValueError | None:
    try:
        plain(asked.owner, asked.fingerprint)
    except ValueError as exc:
        return exc
    return None


def _settled(answer: Any) -> bytes | None:
    verdict, *rest = answer
    return rest[0] if verdict == b"settled" else None

"""The ledger in Redis or Valkey (7.0 or newer): every verb is one Lua script, and time is the server's own.

All keys of a conversation share one partition, `{namespace:p}`, so the same scripts run on a cluster.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from chatbot.errors import ConfigurationError, StoreFull, StoreUnavailable
from chatbot.stores.base import (
    OPEN,
    Begun,
    Claim,
    ClaimCheck,
    Due,
    Entry,
    FinishVerdict,
    FollowUp,
    Lease,
    MailboxState,
    Offer,
    Offered,
    Outcome,
    Store,
    Window,
    digest,
    kept,
    plain,
    subject,
)
from chatbot.stores.scripts import scripts

T = TypeVar("T")
Arg = str | bytes | int

#: A script blocks the server: a hundred items are about 4 ms.
BATCH = 100
#: How long a sleeping pump may block, in ms: shorter than the lease, and than the client's socket timeout.
LONGEST_SLEEP = 4_000
#: A batch of work is answered in a few ms; a server that needs longer than this is taken to be down.
CLIENT_OPTIONS: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 2, "health_check_interval": 30}


class RedisStore(Store):
    """The ledger on one Redis or Valkey server. `url` may carry any option of redis-py as a query parameter."""

    def __init__(self, url: str, *, namespace: str = "chatbot", partitions: int = 1, **options: Any) -> None:
        self.namespace, self.partitions = namespace, partitions
        self._tags = [f"{{{namespace}:{p}}}" for p in range(partitions)]
        # Every verb may be sent twice, so one repetition at once hides a connection that died while it was idle.
        retry = Retry(ConstantBackoff(0), 1)
        self.client = redis.Redis.from_url(url, **{"retry": retry, **CLIENT_OPTIONS, **options})

    # --- start and stop ---
    def check(self) -> None:
        with _wrapped():
            info: dict[str, Any] = self.client.info()
            policy = info.get("maxmemory_policy", "noeviction")
            if int(str(info.get("redis_version", "0")).split(".")[0]) < 7:
                raise ConfigurationError(
                    f"the store runs version {info['redis_version']}: Redis or Valkey 7.0 is needed"
                )
            if policy != "noeviction":
                raise ConfigurationError(
                    f"the store may drop accepted messages (maxmemory-policy {policy}): "
                    "set `maxmemory-policy noeviction` on the server"
                )
            self._check_partitions()

    def _check_partitions(self) -> None:
        """Keys would be looked for in the wrong places under another number of partitions."""
        marks = self._tags[0] + "m"
        # A full store refuses HSETNX, and must not keep away the workers that drain it.
        found = self.client.hget(marks, "partitions") or self._note_partitions(marks)
        self.client.pexpire(marks, OPEN)
        if int(found) != self.partitions:
            raise ConfigurationError(
                f"the store {self.namespace!r} was begun with {int(found)} partitions, not {self.partitions}: "
                "keep that number, or use another namespace"
            )

    def _note_partitions(self, marks: str) -> bytes:
        with self.client.pipeline() as pipe:
            pipe.hsetnx(marks, "partitions", str(self.partitions))
            pipe.pexpire(marks, OPEN)
            pipe.hget(marks, "partitions")
            return cast(bytes, pipe.execute()[2])

    def ping(self) -> None:
        with _wrapped():
            self.client.ping()

    def close(self) -> None:
        self.client.close()

    # --- mailboxes ---
    def offer(self, offers: Sequence[Offer]) -> list[Offered]:
        answers = self._batch("offer", offers, lambda o: o.key, _offer_args)
        return [Offered(a[0].decode(), int(a[1]) if len(a) > 1 else None) for a in answers]

    def take_due(self, limit: int, publish_lease: int, again: int) -> Due:
        answers = self._run([("take_due", p, (limit, publish_lease, again)) for p in range(self.partitions)])
        checks = [ClaimCheck(k.decode(), int(e), int(s)) for taken, _ in answers for k, e, s in taken]
        return Due(checks, min((look for _, look in answers if look >= 0), default=None))

    def handed_over(self, checks: Sequence[ClaimCheck], again: int) -> list[bool]:
        answers = self._batch(
            "handed_over", checks, lambda c: c.key, lambda c: (c.key, c.epoch, c.stamp), head=(again,), size=len(checks)
        )
        return [a == 1 for a in answers]

    def begin(self, check: ClaimCheck, owner: str, lease: int, grace: int = 0) -> Begun:
        plain(owner)
        mailbox = check.key.partition("/")[0]
        verdict, *rest = self._call("begin", check.key, check.epoch, owner, lease, mailbox, check.stamp, grace)
        match name := verdict.decode():
            case "new" | "mine" | "taken":
                fails, lost, entries = rest
                return Begun(verdict=name, fails=fails, lost=lost, entries=tuple(map(_entry, entries)))
            case "busy":
                return Begun(verdict=name, remaining=rest[0])
            case _:
                return Begun(verdict=name, value=rest[0] if rest else b"")

    def renew(self, leases: Sequence[Lease], lease: int) -> list[bool]:
        answers = self._batch(
            "renew", leases, _lease_key, lambda x: (x.kind, x.key, x.owner), head=(lease,), size=len(leases)
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
        args = [arg for follow_up in follow_ups for arg in _follow_up_args(follow_up)]
        answer = self._call("finish", check.key, check.epoch, owner, outcome, value, delay, result_ttl, *args)
        if answer[0] == b"single":
            raise ValueError("a turn of one item cannot be split")
        verdict: FinishVerdict = answer[0].decode()
        return verdict

    def unlock(self, key: str, epoch: int, owner: str) -> bool:
        return bool(self._call("unlock", key, epoch, owner)[0] == b"unlocked")

    def replay(self, key: str, epoch: int, window: Window) -> int:
        return int(self._call("replay", key, epoch, *_window_args(window)[:5]))

    def forget(self, key: str) -> int:
        return int(self._call("forget", key))

    def inspect(self, key: str) -> MailboxState:
        now, score, length, *fields = self._call("inspect", key)
        epoch, owner, size, fails, lost, pub, hold = (field.decode() for field in fields)
        return MailboxState(
            state=_state(int(size or 0), owner, int(pub or 0), int(hold or 0) - now, length),
            epoch=int(epoch or 0),
            owner=owner,
            size=int(size or 0),
            buffered=length - int(size or 0),
            fails=int(fails or 0),
            lost=int(lost or 0),
            due_in=int(float(score)) - now if score else None,
        )

    def sleep(self, timeout: int) -> None:
        seconds = max(1, min(timeout, LONGEST_SLEEP)) / 1000
        with _wrapped():
            self.client.blpop([tag + "wake" for tag in self._tags], timeout=seconds)

    # --- standalone records ---
    def claim(self, key: str, owner: str, lease: int, fingerprint: str = "") -> Claim:
        plain(owner, fingerprint)
        verdict, *rest = self._call("claim", key, owner, lease, fingerprint)
        match name := verdict.decode():
            case "busy":
                return Claim(verdict=name, remaining=rest[0], owner=rest[1].decode())
            case "done":
                return Claim(verdict=name, value=rest[0], owner=rest[1].decode())
            case _:
                return Claim(verdict=name)

    def settle(self, key: str, owner: str, fingerprint: str, value: bytes, ttl: int, value_ttl: int) -> bytes | None:
        plain(owner, fingerprint)
        verdict, *rest = self._call("settle", key, owner, fingerprint, value, ttl, value_ttl)
        return rest[0] if verdict == b"settled" else None

    def release(self, key: str, owner: str) -> bool:
        return bool(self._call("release", key, owner))

    # --- what was said ---
    def remember(self, subject: str, entry_id: str, entry: bytes, most: int, ttl: int) -> None:
        kept(most, ttl)
        self._run([("remember", self._slot(subject), (subject, entry_id, entry, most, ttl))])

    def recall(self, subject: str) -> list[bytes]:
        with _wrapped():
            entries = cast(list[bytes], self.client.lrange(f"{self._tags[self._slot(subject)]}h:{subject}", 0, -1))
        return [entry.partition(b"\n")[2] for entry in entries]

    # --- how a verb reaches its partition ---
    def _slot(self, subject: str) -> int:
        return zlib.crc32(subject.encode()) % self.partitions

    def _partition(self, key: str) -> int:
        return self._slot(subject(key))

    def _call(self, verb: str, key: str, *args: Arg) -> Any:
        return self._run([(verb, self._partition(key), (key, *args))])[0]

    def _batch(
        self,
        verb: str,
        items: Sequence[T],
        key_of: Callable[[T], str],
        args_of: Callable[[T], Iterable[Arg]],
        head: tuple[Arg, ...] = (),
        size: int = BATCH,
    ) -> list[Any]:
        """Send items to their partitions, in calls of `size`, in one round trip; answers come in the items' order."""
        places: dict[int, list[int]] = {}
        for i, item in enumerate(items):
            places.setdefault(self._partition(key_of(item)), []).append(i)
        chunks = [(p, where[i : i + size]) for p, where in places.items() for i in range(0, len(where), size)]
        calls = [(verb, p, (*head, *(arg for i in where for arg in args_of(items[i])))) for p, where in chunks]
        answers: list[Any] = [None] * len(items)
        for (_, where), answer in zip(chunks, self._run(calls), strict=True):
            for i, one in zip(where, answer, strict=True):
                answers[i] = one
        return answers

    def _run(self, calls: Sequence[tuple[str, int, tuple[Arg, ...]]]) -> list[Any]:
        with _wrapped():
            if len(calls) == 1:
                return [self._one(*calls[0])]
            with self.client.pipeline(transaction=False) as pipe:
                for call in calls:
                    pipe.evalsha(*self._command(*call))
                answers = pipe.execute(raise_on_error=False)
            # A verb may be sent twice, so after a restart of the server only what it did not know is repeated.
            answers = [
                self._one(*call) if isinstance(answer, redis.exceptions.NoScriptError) else answer
                for call, answer in zip(calls, answers, strict=True)
            ]
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
            return answers

    def _one(self, verb: str, partition: int, args: tuple[Arg, ...]) -> Any:
        sha, *rest = self._command(verb, partition, args)
        try:
            return self.client.evalsha(sha, *rest)
        except redis.exceptions.NoScriptError:
            return self.client.eval(scripts()[verb].source, *rest)

    def _command(self, verb: str, partition: int, args: tuple[Arg, ...]) -> tuple[Any, ...]:
        tag = self._tags[partition]
        return (scripts()[verb].sha, 1, tag + "due", tag, *args)


def _window_args(window: Window) -> tuple[int, ...]:
    return (
        window.wait, window.max_wait, window.max_items, window.max_bytes, window.id_ttl,
        window.max_buffered, window.max_buffered_bytes,
    )  # fmt: skip


def _offer_args(offer: Offer) -> tuple[Arg, ...]:
    mode = offer.mode if offer.target is None else f"{offer.mode}:{digest(offer.key, offer.target)}"
    return (offer.key, digest(offer.key, offer.item_id), offer.body, *_window_args(offer.window), mode)


def _follow_up_args(item: FollowUp) -> tuple[Arg, ...]:
    return (item.key, digest(item.key, item.item_id), item.body, *_window_args(item.window)[:5])


def _entry(raw: bytes) -> Entry:
    return Entry(int(raw[:13]), raw[13:29].decode(), raw[29:])


def _lease_key(lease: Lease) -> str:
    return lease.key


def _state(size: int, owner: str, pub: int, hold: int, length: int) -> str:
    if not size:
        return "accumulating" if length else "idle"
    if owner:
        return "running"
    if hold > 0:
        return "backing off"
    return "handed over" if pub > 0 else "taken"


@contextmanager
def _wrapped() -> Iterator[None]:
    """Say a driver's error in our words, once, at the edge."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as exc:
        raise StoreFull() from exc
    except redis.exceptions.ResponseError as exc:
        if isinstance(exc, redis.exceptions.ReadOnlyError) or str(exc).startswith(("LOADING", "MISCONF", "MASTERDOWN")):
            raise StoreUnavailable(f"the store refuses writes for now: {exc}") from exc
        raise
    except (redis.exceptions.RedisError, OSError) as exc:
        raise StoreUnavailable(f"the store did not answer: {exc}") from exc

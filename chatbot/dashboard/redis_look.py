"""Looking into the Redis broker: its own keys, as `chatbot/brokers/redis.py` tells them. Nothing scans the database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from dramatiq.common import q_name

from chatbot.brokers.redis import RedisBroker
from chatbot.brokers.redis_clients import wrapped
from chatbot.dashboard.look import (
    PAGE,
    Buried,
    Counts,
    Kept,
    Seen,
    Tab,
    drop_letter,
    letter_of,
    read,
    told_by_broker,
)
from chatbot.middleware.dead_letters import DeadLetter, DeadLetters

_HASH = {"standard": ".msgs", "delayed": ".DQ.msgs", "failed": ".XQ.msgs"}


class RedisLook:
    """Reads what workers and producers write, theirs of plain Dramatiq included."""

    def __init__(self, broker: RedisBroker, letters: DeadLetters) -> None:
        self._broker, self._letters = broker, letters

    def names(self) -> list[str]:
        """Return the declared queues."""
        return sorted(self._broker.get_declared_queues())

    def queues(self) -> list[Counts]:
        """Count what is in the queues; what runs is in them until it is done."""
        names = self.names()
        counts = self._pipeline(*(("hlen", self._key(name) + kind) for name in names for kind in _HASH.values()))
        rows = [counts[i : i + len(_HASH)] for i in range(0, len(counts), len(_HASH))]
        return [
            Counts(name=name, waiting=row[0], delayed=row[1], dead=row[2])
            for name, row in zip(names, rows, strict=True)
        ]

    def workers(self) -> list[Seen]:
        """Return who has a lease, and the workers of plain Dramatiq that were seen of late."""
        beats, leases = self._pipeline(
            *(("zrange", self._key(name), 0, -1, False, True) for name in ("__heartbeats__", "__workers__"))
        )
        now, ends = self._now(), dict(leases)
        # Without a lease it is a worker of plain Dramatiq, which says less often that it lives.
        alive = [
            (_text(name), round(at)) for name, at in beats if ends.get(name, at + self._broker.heartbeat_timeout) > now
        ]
        return [Seen(name=name, at=at, running=len(self._held(name))) for name, at in sorted(alive)]

    def page(self, queue: str, tab: Tab, start: int) -> tuple[int | None, list[Kept]]:
        """Return messages: those that run and then those that run next, those due first, those that failed last."""
        ids, first = self._ids(queue, tab, start)
        following = start + PAGE if len(ids) == PAGE else None
        ids = list(dict.fromkeys([*first, *ids]))
        with wrapped():
            bodies = self._broker.client.hmget(self._key(queue) + _HASH[tab], ids) if ids else []
        return following, [read(_text(one), body) for one, body in zip(ids, bodies, strict=True) if body is not None]

    def find(self, queue: str, tab: Tab, message_id: str) -> Kept | None:
        """Return a message; one that was given up with what the journal knows of it."""
        with wrapped():
            body = self._broker.client.hget(self._key(queue) + _HASH[tab], message_id)
        kept = None if body is None else read(message_id, body)
        if kept is None or kept.message is None or tab != "failed":
            return kept
        letter = letter_of(self._letters, kept.message.message_id)
        return replace(kept, letter=letter)

    def remove(self, queue: str, tab: Tab, kept: Kept) -> bool:
        """Delete a message; one that runs goes on, but nobody takes it over."""
        key = self._key(queue)
        if tab == "standard":
            waited, there = self._pipeline(("lrem", key, 0, kept.id), ("hdel", f"{key}.msgs", kept.id))
            if waited:  # else a worker holds it, and clears this when it is done
                self._pipeline(("hdel", f"{key}.held", kept.id))
        elif tab == "delayed":
            *_, there = self._pipeline(
                ("zrem", f"{key}.delayed", kept.id),
                ("lrem", f"{key}.DQ", 0, kept.id),
                ("hdel", f"{key}.DQ.msgs", kept.id),
            )
        else:
            _, there = self._pipeline(("zrem", f"{key}.XQ", kept.id), ("hdel", f"{key}.XQ.msgs", kept.id))
            drop_letter(self._letters, kept.letter)
        return bool(there)

    def buried(self, queue: str) -> Buried:
        """Return all of them: what was not written down while the store was down is here only."""
        letters, unreadable = [], 0
        for kept, at in self._oldest_first(queue):
            if kept.message is None:
                unreadable += 1
            else:
                letters.append(told_by_broker(kept.message, queue, "unknown", at))
        return Buried(letters=letters, unreadable=unreadable)

    def remove_copy(self, letter: DeadLetter) -> bool:
        """Remove the oldest: a copy that was published since may have failed, too."""
        queue, wanted = q_name(letter.queue), letter.message_id
        of_letter = (
            kept for kept, _ in self._oldest_first(queue) if kept.message and kept.message.message_id == wanted
        )
        found = next(of_letter, None)
        return found is not None and self.remove(queue, "failed", found)

    def _oldest_first(self, queue: str) -> Iterator[tuple[Kept, int]]:
        """Yield dead letters, and when (ms) they became that."""
        key, start = f"{self._key(queue)}.XQ", 0
        while True:
            with wrapped():
                page = self._broker.client.zrange(key, start, start + PAGE - 1, withscores=True)
                bodies = self._broker.client.hmget(f"{key}.msgs", [one for one, _ in page]) if page else []
            for (one, at), body in zip(page, bodies, strict=True):
                if body is not None:
                    yield read(_text(one), body), round(at)
            if len(page) < PAGE:
                return
            start += PAGE

    def remark(self, queue: str | None, tab: Tab) -> str:
        """Nothing is hidden here."""
        return ""

    def hides(self, tab: Tab) -> bool:
        """Nothing is hidden here."""
        return False

    def _ids(self, queue: str, tab: Tab, start: int) -> tuple[list[bytes], list[bytes]]:
        """Return the ids of a page, and those that stand before the first one."""
        key, last = self._key(queue), start + PAGE - 1
        with wrapped():
            client = self._broker.client
            if tab == "failed":
                return client.zrevrange(f"{key}.XQ", start, last), []
            if tab == "delayed":
                # Plain producers leave theirs on a list, until a worker of ours comes by.
                left = client.lrange(f"{key}.DQ", 0, PAGE - 1) if start == 0 else []
                return client.zrange(f"{key}.delayed", start, last), left
            waiting = client.lrange(key, start, last)
        return waiting, [one for seen in self.workers() for one in self._held(seen.name, queue)] if start == 0 else []

    def _held(self, worker: str, *queues: str) -> list[bytes]:
        names = queues or self.names()
        held = self._pipeline(*(("smembers", self._key(f"__acks__.{worker}.{name}")) for name in names))
        return [one for ids in held for one in sorted(ids)]

    def _now(self) -> int:
        """Return the server's time in ms; a cluster's nodes each tell theirs."""
        with wrapped():
            clock = self._broker.client.time()
        seconds, micros = next(iter(clock.values())) if isinstance(clock, dict) else clock
        return int(seconds * 1000 + micros // 1000)

    def _key(self, name: str) -> str:
        return f"{self._broker.namespace}:{name}"

    def _pipeline(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Run commands as one transaction."""
        with wrapped(), self._broker.client.pipeline(transaction=True) as pipeline:
            for name, *args in commands:
                getattr(pipeline, name)(*args)
            return list(pipeline.execute())


def _text(one: bytes) -> str:
    return one.decode(errors="backslashreplace")

"""How a verb reaches its partition: its script, sent to the keys of one `{namespace:p}`; many in one round trip."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import redis

from chatbot.errors import StoreFull, StoreUnavailable
from chatbot.stores.base import subject
from chatbot.stores.scripts import scripts

T = TypeVar("T")
Arg = str | bytes | int

#: A script blocks the server: a hundred items are about 4 ms.
BATCH = 100


class Partitions:
    """The partitions of one namespace on one server."""

    def __init__(self, client: redis.Redis, namespace: str, count: int) -> None:
        self._client, self.count = client, count
        #: What every key of a partition begins with; a cluster keeps these keys together.
        self.tags = [f"{{{namespace}:{p}}}" for p in range(count)]

    def slot(self, subject: str) -> int:
        """Return the partition of a subject."""
        return zlib.crc32(subject.encode()) % self.count

    def of(self, key: str) -> int:
        """Return the partition of a mailbox key or of a record's."""
        return self.slot(subject(key))

    def grouped(self, items: Sequence[T], subject_of: Callable[[T], str]) -> list[tuple[int, list[T]]]:
        """Return the items of each partition that has any."""
        places: dict[int, list[T]] = {}
        for item in items:
            places.setdefault(self.slot(subject_of(item)), []).append(item)
        return list(places.items())

    def call(self, verb: str, key: str, *args: Arg) -> Any:
        """Run a verb on one key."""
        return self.at(self.of(key), verb, key, *args)

    def at(self, partition: int, verb: str, *args: Arg) -> Any:
        """Run a verb in one partition."""
        return self._run([(verb, partition, args)])[0]

    def everywhere(self, verb: str, *args: Arg) -> list[Any]:
        """Run a verb in every partition, in one round trip."""
        return self._run([(verb, p, args) for p in range(self.count)])

    def batch(
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
            places.setdefault(self.of(key_of(item)), []).append(i)
        chunks = [(p, where[i : i + size]) for p, where in places.items() for i in range(0, len(where), size)]
        calls = [(verb, p, (*head, *(arg for i in where for arg in args_of(items[i])))) for p, where in chunks]
        answers: list[Any] = [None] * len(items)
        for (_, where), answer in zip(chunks, self._run(calls), strict=True):
            for i, one in zip(where, answer, strict=True):
                answers[i] = one
        return answers

    def _run(self, calls: Sequence[tuple[str, int, tuple[Arg, ...]]]) -> list[Any]:
        with wrapped():
            if len(calls) == 1:
                return [self._one(*calls[0])]
            with self._client.pipeline(transaction=False) as pipe:
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
            return self._client.evalsha(sha, *rest)
        except redis.exceptions.NoScriptError:
            return self._client.eval(scripts()[verb].source, *rest)

    def _command(self, verb: str, partition: int, args: tuple[Arg, ...]) -> tuple[Any, ...]:
        tag = self.tags[partition]
        return (scripts()[verb].sha, 1, tag + "due", tag, *args)


@contextmanager
def wrapped() -> Iterator[None]:
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

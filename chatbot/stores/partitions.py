"""How a verb reaches its partition: its script, sent to the keys of one `{namespace:p}`; many in one round trip, on a
cluster one for each of its masters.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, TypeVar

import redis

from chatbot.errors import StoreFull, StoreUnavailable
from chatbot.stores.clients import Servers
from chatbot.stores.lane import Lane
from chatbot.stores.scripts import scripts
from chatbot.stores.values import OPEN, subject

T = TypeVar("T")
Arg = str | bytes | int
Call = tuple[str, int, tuple[Arg, ...]]

#: A script blocks the server: a hundred items are about 4 ms.
BATCH = 100
#: ms for which an answer waits for replicas: shorter than the client's socket timeout.
REPLICATED_WITHIN = 1_000
#: What another server may do, once it is known which.
ELSEWHERE = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.AskError,
    redis.exceptions.ClusterDownError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.SlotNotCoveredError,
)
#: What passes, where redis-py has no class for it.
FOR_NOW = ("LOADING", "MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY")
#: What a script is told whose slot is on its way to another node, key by key.
MOVING = "non local key"


class Partitions:
    """The partitions of one namespace."""

    def __init__(self, servers: Servers, namespace: str, count: int, replicas: int = 0) -> None:
        self._servers, self.count, self._replicas = servers, count, replicas
        self._scripts = scripts(clustered=servers.clustered)
        #: Of each server's client. A cluster keeps its clients, so this grows with its nodes only.
        self._lanes: dict[Any, Lane] = {}
        #: What every key of a partition begins with; a cluster keeps these keys together.
        self.tags = [f"{{{namespace}:{p}}}" for p in range(count)]

    def slot(self, subject: str) -> int:
        """Return the partition of a subject."""
        return zlib.crc32(subject.encode()) % self.count

    def of(self, key: str) -> int:
        """Return the partition of a mailbox key or of a record's."""
        return self.slot(subject(key)) if self.count > 1 else 0

    def grouped(self, items: Sequence[T], subject_of: Callable[[T], str]) -> list[tuple[int, list[T]]]:
        """Return the items of each partition that has any."""
        places: dict[int, list[T]] = {}
        for item in items:
            places.setdefault(self.slot(subject_of(item)), []).append(item)
        return list(places.items())

    def call(self, verb: str, key: str, *args: Arg, replicated: bool = False) -> Any:
        """Run a verb on one key. `replicated`: return only when the replicas have what it wrote."""
        return self._run([(verb, self.of(key), (key, *args))], replicated)[0]

    def read(self, *command: Any) -> Any:
        """Return the answer to a command that names its key."""
        with wrapped():
            return self._lane(self._servers.client)(*command)

    def at(self, partition: int, verb: str, *args: Arg) -> Any:
        """Run a verb in one partition."""
        return self._run([(verb, partition, args)])[0]

    def everywhere(self, verb: str, *args: Arg) -> list[Any]:
        """Run a verb in every partition, in one round trip."""
        return self._run([(verb, p, args) for p in range(self.count)])

    def anywhere(self, verb: str, *args: Arg) -> list[Any]:
        """Run a verb in every partition whose server answers; raises only if none does."""
        with wrapped():
            answers = self._answers([(verb, p, args) for p in range(self.count)], False)
            found = [answer for answer in answers if not isinstance(answer, ELSEWHERE)]
            return _good(found or answers)

    def batch(
        self,
        verb: str,
        items: Sequence[T],
        key_of: Callable[[T], str],
        args_of: Callable[[T], Iterable[Arg]],
        *,
        head: tuple[Arg, ...] = (),
        size: int = BATCH,
        replicated: bool = False,
    ) -> list[Any]:
        """Return what `each` returns, but raise the first error instead."""
        return _good(self.each(verb, items, key_of, args_of, head=head, size=size, replicated=replicated))

    def each(
        self,
        verb: str,
        items: Sequence[T],
        key_of: Callable[[T], str],
        args_of: Callable[[T], Iterable[Arg]],
        *,
        head: tuple[Arg, ...] = (),
        size: int = BATCH,
        replicated: bool = False,
    ) -> list[Any]:
        """Send items to their partitions, in calls of `size`, in one round trip. Return what each is answered, in the
        items' order, or its error: that of one call, or of one record in it, is no other's.

        `replicated`: return only when the replicas have what was written."""
        chunks = self._chunks(list(map(key_of, items)), size)
        calls = [(verb, p, (*head, *chain.from_iterable(args_of(items[i]) for i in where))) for p, where in chunks]
        with wrapped():
            answers = self._answers(calls, replicated and self._replicas > 0)
        found: list[Any] = [None] * len(items)
        for (_, where), answer in zip(chunks, answers, strict=True):
            told = [answer] * len(where) if isinstance(answer, Exception) else answer
            for i, one in zip(where, told, strict=True):
                found[i] = _in_our_words(one) if isinstance(one, Exception) else one
        return found

    def _chunks(self, keys: Sequence[str], size: int) -> list[tuple[int, Sequence[int]]]:
        """Return the places of keys that one call is about, and its partition."""
        if len(keys) <= size and self.count == 1:
            return [(0, range(len(keys)))] if keys else []
        places: dict[int, list[int]] = {}
        for i, key in enumerate(keys):
            places.setdefault(self.of(key), []).append(i)
        return [(p, where[i : i + size]) for p, where in places.items() for i in range(0, len(where), size)]

    def _run(self, calls: Sequence[Call], replicated: bool = False) -> list[Any]:
        replicated = replicated and self._replicas > 0
        with wrapped():
            if len(calls) == 1 and not replicated and not self._servers.clustered:
                return [self._one(*calls[0])]
            return _good(self._answers(calls, replicated))

    def _answers(self, calls: Sequence[Call], replicated: bool) -> list[Any]:
        """Return what each call returned or raised. What the wrong server was asked is asked once more."""
        answers = self._round(calls, replicated)
        strays = [i for i, answer in enumerate(answers) if isinstance(answer, ELSEWHERE)]
        if strays and self._servers.look_again():
            for i, answer in zip(strays, self._round([calls[i] for i in strays], replicated), strict=True):
                answers[i] = answer
        return answers

    def _round(self, calls: Sequence[Call], replicated: bool) -> list[Any]:
        places: dict[Any, list[int]] = {}
        answers: list[Any] = [None] * len(calls)
        for i, (_, partition, _) in enumerate(calls):
            try:
                places.setdefault(self._servers.of(self.tags[partition]), []).append(i)
            except redis.exceptions.SlotNotCoveredError as exc:
                answers[i] = exc
        for server, where in places.items():
            for i, answer in zip(where, self._pipe(server, [calls[i] for i in where], replicated), strict=True):
                answers[i] = answer
        return answers

    def _pipe(self, server: Any, calls: Sequence[Call], replicated: bool) -> list[Any]:
        answers = self._send(server, calls, replicated, known=True)
        # A verb may be sent twice, so after a restart of the server only what it did not know is repeated.
        unknown = [i for i, answer in enumerate(answers) if isinstance(answer, redis.exceptions.NoScriptError)]
        if unknown:
            told = self._send(server, [calls[i] for i in unknown], replicated, known=False)
            for i, answer in zip(unknown, told, strict=True):
                answers[i] = answer
        return answers

    def _send(self, server: Any, calls: Sequence[Call], replicated: bool, *, known: bool) -> list[Any]:
        commands: list[tuple[Any, ...]] = []
        for verb, partition, args in calls:
            script = self._scripts[verb]
            head = ("EVALSHA", script.sha) if known else ("EVAL", script.source)
            commands.append((*head, *self._command(partition, args)))
        if replicated:
            commands += self._wait_for_replicas(calls[0][1])
        try:
            answers = self._lane(server).all(commands)
        except (redis.exceptions.RedisError, OSError) as exc:
            return [exc] * len(calls)
        return self._confirmed(answers) if replicated else answers

    def _wait_for_replicas(self, partition: int) -> list[tuple[Any, ...]]:
        # WAIT looks back to the last write of its own connection. A duplicate writes nothing, and its original may not
        # have reached the replicas yet: so there always is a write, and on the connection of the verbs, for the next
        # one may lead to another master, which never saw them.
        write = ("SET", self.tags[partition] + "replicated", 1, "PX", OPEN)
        return [write, ("WAIT", self._replicas, REPLICATED_WITHIN)]

    def _lane(self, server: Any) -> Lane:
        lane = self._lanes.get(server)
        return lane or self._lanes.setdefault(server, Lane(server))

    def _confirmed(self, answers: list[Any]) -> list[Any]:
        *answers, wrote, replicas = answers
        problem = next((answer for answer in (wrote, replicas) if isinstance(answer, Exception)), None)
        if problem is None and replicas < self._replicas:
            problem = StoreUnavailable(f"{replicas} of {self._replicas} replicas have confirmed in time")
        return [answer if isinstance(answer, Exception) else problem or answer for answer in answers]

    def _one(self, verb: str, partition: int, args: tuple[Arg, ...]) -> Any:
        script, rest = self._scripts[verb], self._command(partition, args)
        lane = self._lane(self._servers.client)
        try:
            return lane("EVALSHA", script.sha, *rest)
        except redis.exceptions.NoScriptError:
            return lane("EVAL", script.source, *rest)

    def _command(self, partition: int, args: tuple[Arg, ...]) -> tuple[Any, ...]:
        tag = self.tags[partition]
        return (1, tag + "due", tag, *args)


def _good(answers: list[Any]) -> list[Any]:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


def _in_our_words(error: Exception) -> Exception:
    try:
        with wrapped():
            raise error
    except Exception as exc:
        return exc


@contextmanager
def wrapped() -> Iterator[None]:
    """Say a driver's error in our words, once, at the edge."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as exc:
        raise StoreFull() from exc
    except (*ELSEWHERE, redis.exceptions.TryAgainError, redis.exceptions.RedisClusterException) as exc:
        raise StoreUnavailable(f"the store does not answer for now: {exc}") from exc
    except redis.exceptions.ResponseError as exc:
        if str(exc).startswith("OOM"):  # of one record: redis-py reads the class of whole answers only
            raise StoreFull() from exc
        if str(exc).startswith(FOR_NOW) or MOVING in str(exc):
            raise StoreUnavailable(f"the store refuses writes for now: {exc}") from exc
        raise
    except (redis.exceptions.RedisError, OSError) as exc:
        raise StoreUnavailable(f"the store did not answer: {exc}") from exc

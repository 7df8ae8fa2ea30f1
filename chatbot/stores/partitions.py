"""How a verb reaches its partition: its script, sent to the keys of one `{namespace:p}`; many in one round trip, on a
cluster one for each of its masters.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any, TypeVar

import redis

from chatbot.bridge import apart
from chatbot.errors import StoreUnavailable
from chatbot.stores.clients import Servers
from chatbot.stores.lane import Lane
from chatbot.stores.redis_errors import ELSEWHERE, in_our_words, wrapped
from chatbot.stores.scripts import scripts
from chatbot.stores.values import OPEN, subject

T = TypeVar("T")
Arg = str | bytes | int
Call = tuple[str, int, tuple[Arg, ...]]
#: A partition, and the places of the items that one call to it is about.
Chunk = tuple[int, Sequence[int]]

#: A script blocks the server: a hundred items are about 4 ms.
BATCH = 100
#: ms for which an answer waits for replicas: shorter than the client's socket timeout.
REPLICATED_WITHIN = 1_000


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
        """Send items to their partitions, in calls of `size`, in one round trip; answers come in the items' order.
        `replicated`: return only when the replicas have what was written."""
        chunks = self._chunks(list(map(key_of, items)), size)
        return _in_order(chunks, self._run(_calls(verb, chunks, items, args_of, head), replicated))

    def each(
        self,
        verb: str,
        items: Sequence[T],
        key_of: Callable[[T], str],
        args_of: Callable[[T], Iterable[Arg]],
        *,
        replicated: bool = False,
    ) -> list[Any]:
        """Do the same for records: what is wrong with one of them stands in its place, as the error that it would raise
        alone, and is no other's."""
        chunks = self._chunks(list(map(key_of, items)), BATCH)
        with wrapped():
            answers = self._answers(_calls(verb, chunks, items, args_of), replicated and self._replicas > 0)
        # A call that failed has one error for all of its records: each telling of it would lengthen its traceback.
        told = [
            [in_our_words(answer)] * len(where) if isinstance(answer, Exception) else list(map(in_our_words, answer))
            for (_, where), answer in zip(chunks, answers, strict=True)
        ]
        return _in_order(chunks, told)

    def _chunks(self, keys: Sequence[str], size: int) -> list[Chunk]:
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
        if bool(strays) and apart(self._servers.look_again):
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


def _calls(
    verb: str,
    chunks: Sequence[Chunk],
    items: Sequence[T],
    args_of: Callable[[T], Iterable[Arg]],
    head: tuple[Arg, ...] = (),
) -> list[Call]:
    return [(verb, p, (*head, *chain.from_iterable(args_of(items[i]) for i in where))) for p, where in chunks]


def _in_order(chunks: Sequence[Chunk], answers: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the answers of all calls in the order of the items."""
    found: list[Any] = [None] * sum(len(where) for _, where in chunks)
    for (_, where), told in zip(chunks, answers, strict=True):
        for i, one in zip(where, told, strict=True):
            found[i] = one
    return found

"""What a large deployment needs, computed from figures that were measured on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from redis.crc import key_slot

from chatbot.bench.titles import (
    COST,
    HISTORY,
    OPEN_WINDOW,
    REMEMBERED_ID,
    SETTLED_TURN,
    SLOW_ANSWER,
    WEB_MEMORY,
    WORKER_MEMORY,
)
from chatbot.bench.written.found import Found
from chatbot.errors import ConfigurationError

SLOTS = 16_384
#: A Redis Cluster elects with three masters or more; a quorum queue wants three nodes.
FEWEST = 3
GIB = 2**30
#: The numbers that are tried; 64 is what a ledger on a cluster is begun with unless told otherwise.
PARTITIONS = tuple(2**power for power in range(6, 13))
#: How much fuller than its fair share the fullest master may be.
UNEVEN = 1.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is asked of it. Sizes of nodes and head-room are choices; everything else follows from what was measured."""

    messages: int = 10_000
    conversations: int = 10_000_000
    #: Messages in a turn; one reply each.
    burst: int = 5
    #: s that the responder takes.
    answer: float = 5.0
    #: s that a conversation is open at most: the longest window, and the answer.
    window: float = 10.0
    #: s for which an id and a turn's result are remembered.
    id_ttl: int = 86_400
    result_ttl: int = 3_600
    #: Answers that one worker process gives at the same time: as many as `slow` has measured.
    answers: int = 1_000
    #: Head-room: processors are half idle, memory a third.
    room: float = 2.0
    memory_room: float = 1.5
    #: Memory of one node of the cluster, in GiB.
    node: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What follows from the deployment alone: webhooks and turns a second, answers at a time, open conversations."""

    repeated: float
    webhooks: float
    turns: float
    at_once: float
    open: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Bytes in the store."""

    ids: float
    results: float
    histories: float
    windows: float

    @property
    def total(self) -> float:
        return self.ids + self.results + self.histories + self.windows


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The ledger's servers. `fullest` is the share of everything that the fullest master has."""

    masters: int
    partitions: int
    fullest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The service's own processes: cores that they keep busy, how many, and bytes of each with head-room."""

    busy: float
    by_cpu: int
    by_answers: int
    memory: float

    @property
    def count(self) -> int:
        return max(self.by_cpu, self.by_answers)


def load(wanted: Deployment, found: Found) -> Load:
    """Return what arrives. Messages are new ones; providers repeat the share of webhooks that `soak` repeats."""
    repeated = found.setting("soak", "share of repetitions")
    turns = wanted.messages / wanted.burst
    return Load(
        repeated=repeated, webhooks=wanted.messages / (1 - repeated), turns=turns, at_once=turns * wanted.answer,
        open=min(wanted.conversations, turns * (wanted.window + wanted.answer)),
    )  # fmt: skip


def busy(found: Found, arriving: Load, process: str, broker: str) -> float:
    """Return how many cores a part of the service keeps busy."""
    return arriving.webhooks * cost(found, process, broker) / 1e6


def cost(found: Found, process: str, broker: str) -> float:
    """Return the processor time that a webhook costs a part of the service from end to end, in µs."""
    return found.median("soak", COST, process, broker)


def kept(wanted: Deployment, arriving: Load, found: Found) -> Kept:
    """Return what the store holds: an id for each message and for each reply, a result for each turn and each reply."""
    one_id = found.median("memory", REMEMBERED_ID, "store")
    return Kept(
        ids=(wanted.messages + arriving.turns) * wanted.id_ttl * one_id,
        results=2 * arriving.turns * wanted.result_ttl * found.median("memory", SETTLED_TURN, "store"),
        histories=wanted.conversations * found.median("memory", HISTORY, "store"),
        windows=arriving.open * found.median("memory", OPEN_WINDOW, "store"),
    )


def cluster(wanted: Deployment, cores: float, held: float) -> Cluster:
    """Return the fewest masters whose fullest one has head-room, and partitions that divide evenly among them."""
    for partitions in PARTITIONS:
        masters = FEWEST
        while masters < partitions and not _fits(wanted, fullest(partitions, masters), cores, held):
            masters += 1
        share = fullest(partitions, masters)
        if share * masters <= UNEVEN and _fits(wanted, share, cores, held):
            return Cluster(masters=masters, partitions=partitions, fullest=share)
    raise ConfigurationError(f"not even {PARTITIONS[-1]} partitions divide this: use several services")


def _fits(wanted: Deployment, share: float, cores: float, held: float) -> bool:
    # A server runs all commands on one core.
    return share * cores * wanted.room <= 1 and share * held * wanted.memory_room <= wanted.node * GIB


def fullest(partitions: int, masters: int, namespace: str = "chatbot") -> float:
    """Return the largest share of partitions that one of so many masters has, each with as many slots as the others."""
    counts = [0] * masters
    for partition in range(partitions):
        counts[key_slot(f"{namespace}:{partition}".encode()) * masters // SLOTS] += 1
    return max(counts) / partitions


def web(wanted: Deployment, arriving: Load, found: Found, broker: str) -> Processes:
    """Return the web processes; each uses one core at most."""
    cores = busy(found, arriving, "web", broker)
    memory = found.median("soak", WEB_MEMORY, "web", broker) * 1e6 * wanted.memory_room
    return Processes(busy=cores, by_cpu=ceil(cores * wanted.room), by_answers=0, memory=memory)


def workers(wanted: Deployment, arriving: Load, found: Found, broker: str) -> Processes:
    """Return the worker processes: enough for the work, and for the answers that are given at the same time."""
    cores = busy(found, arriving, "worker", broker)
    title = SLOW_ANSWER.format(wanted.answers)
    # The dearer way: a responder that blocks keeps a thread, an async one a place on the event loop.
    answer = max(found.median("slow", title, way, broker) for way in ("threads", "event loop")) * 1_000
    idle = found.median("soak", WORKER_MEMORY, "worker", broker) * 1e6
    by_cpu, by_answers = ceil(cores * wanted.room), ceil(arriving.at_once * wanted.room / wanted.answers)
    threads = arriving.at_once * wanted.room / max(by_cpu, by_answers)
    memory = (idle + threads * answer) * wanted.memory_room
    return Processes(busy=cores, by_cpu=by_cpu, by_answers=by_answers, memory=memory)

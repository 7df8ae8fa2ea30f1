"""What a doctor sees: plain records, free of secrets. None stands for what could not be seen."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Severity = Literal["error", "warning", "note"]


class Finding(Struct, frozen=True, kw_only=True):
    """Something that is wrong (`error`), will be (`warning`), or is to be known (`note`), and what to do about it."""

    severity: Severity
    found: str
    cure: str


class Unseen(Struct, frozen=True, kw_only=True):
    """Something that could not be looked at, and how to see it."""

    what: str
    why: str


class Configuration(Struct, frozen=True, kw_only=True):
    """What the environment says. `weak` are secrets and passwords by variable, with what is wrong; `grace` (s) is what
    workers get to stop, `time_limit` (ms) ends an actor, `waits_for` (s) is the longest call of the responder."""

    problems: list[str] = []
    weak: list[tuple[str, str]] = []
    grace: float = 25.0
    time_limit: int = 600_000
    waits_for: float | None = None


class Server(Struct, frozen=True, kw_only=True):
    """A Redis or Valkey. `ledger`: it is the store; `known`: the store is on it, too, so only how we use it is looked
    at. `blocks_for` (s) is how long our commands wait on it; `ahead` is by how many ms our clock is ahead of its;
    `partitions` is what the ledger was begun with, and what we would use."""

    name: str
    variable: str
    ledger: bool
    run_id: str = ""
    known: bool = False
    software: str = "redis"
    version: str = ""
    policy: str = "noeviction"
    maxmemory: int = 0
    used: int = 0
    replica: bool = False
    replicas: int = 0
    awaited_replicas: int | None = None
    appendonly: bool = True
    fsync: str | None = "always"
    writes_fail: bool = False
    cluster: bool = False
    as_cluster: bool = False
    partitions: tuple[int, int] | None = None
    socket_timeout: float | None = 5.0
    blocks_for: float = 4.0
    ahead: int = 0


class Queue(Struct, frozen=True, kw_only=True):
    """A queue of RabbitMQ that exists. `mismatch` is what the server says if it is not as we declare it; `limited`: it
    has the server's own limit of deliveries; `work`: it is one that workers take turns and messages from."""

    name: str
    work: bool
    messages: int = 0
    consumers: int = 0
    mismatch: str = ""
    limited: bool = False


class Policy(Struct, frozen=True, kw_only=True):
    """A policy of RabbitMQ that holds for one of our queues."""

    name: str
    queue: str
    delivery_limit: int | None = None
    consumer_timeout: int | None = None


class Rabbitmq(Struct, frozen=True, kw_only=True):
    """A RabbitMQ. `kind` is the type of queues that we declare; timeouts are in ms, `heartbeat` in s (0: off)."""

    version: str
    kind: str = "quorum"
    nodes: int = 1
    heartbeat: int | None = 10
    queues: list[Queue] = []
    policies: list[Policy] = []
    alarms: list[str] = []
    consumer_timeout: int | None = None
    confirm_timeout: int | None = None
    time_limit: int = 600_000


class Work(Struct, frozen=True, kw_only=True):
    """What the ledger and the broker say of the service at work. `overdue` (ms): how long ago somebody should have
    looked at the most overdue conversation; `last_tick` (ms): how long ago the sweep was last published; `uncollected`:
    dead letters that RabbitMQ has, and the journal has not."""

    open: int = 0
    overdue: int = 0
    dead_turns: int = 0
    dead_messages: int = 0
    uncollected: int = 0
    workers: int | None = None
    unserved: list[str] = []
    last_tick: int | None = None


Part = Configuration | Server | Rabbitmq | Work


class Facts(Struct, frozen=True, kw_only=True):
    """All that was seen. `broken` is what kept us from seeing a part, as findings."""

    parts: list[Part]
    broken: list[Finding] = []
    unseen: list[Unseen] = []

"""The page that tells what a large deployment needs, each number with the formula and the figure that it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from chatbot.bench.text import number
from chatbot.bench.titles import CALLS, HISTORY, OPEN_WINDOW, REMEMBERED_ID, SETTLED_TURN
from chatbot.bench.written import sizing
from chatbot.bench.written.found import Found
from chatbot.bench.written.sizing import GIB, Cluster, Deployment, Kept, Load, Processes
from chatbot.bench.written.table import table

#: Memory of a broker's node, in bytes.
SMALL = 4 * GIB
HEAD = ("what", "how many", "cores each", "memory each", "why so many")
BROKERS = {"redis": "Broker on Redis", "rabbitmq": "Broker on a RabbitMQ cluster"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """So many machines, or processes, of one kind; memory in bytes."""

    what: str
    count: int
    cores: int
    memory: float
    why: str


def page(found: Found, wanted: Deployment) -> str:
    """Return the page. Raises ConfigurationError where a figure is missing."""
    arriving = sizing.load(wanted, found)
    held = sizing.kept(wanted, arriving, found)
    parts = [*_beginning(wanted, arriving), _memory(wanted, arriving, held, found)]
    for broker, title in BROKERS.items():
        parts += [f"## {title}", *_setup(wanted, arriving, held, found, broker)]
    return "\n\n".join([*parts, _caveats(wanted)]) + "\n"


def _beginning(wanted: Deployment, arriving: Load) -> Iterator[str]:
    yield f"# What {wanted.messages:,} messages a second need"
    yield (
        "Every number here follows from a figure in [benchmarks.md](benchmarks.md), by the formula beside it.\n"
        "They are a first guess to order machines by, and no measurement of such a deployment: "
        "measure yours before people depend on it."
    )
    yield "## What is asked"
    webhooks, turns, at_once = (number(value) for value in (arriving.webhooks, arriving.turns, arriving.at_once))
    yield table(
        ("assumption", "value"),
        (
            ("new messages", f"{wanted.messages:,} /s, day and night"),
            ("repeated by providers", f"{arriving.repeated:.0%} of all webhooks, as in `soak`"),
            ("webhooks, one message each", f"{wanted.messages:,} / (1 - {arriving.repeated:g}) = {webhooks} /s"),
            ("messages in a turn", f"{wanted.burst}"),
            ("turns, and replies", f"{wanted.messages:,} / {wanted.burst} = {turns} /s each"),
            ("the responder takes", f"{wanted.answer:g} s"),
            ("answers at the same time", f"{turns} x {wanted.answer:g} s = {at_once}"),
            ("conversations with a history", f"{wanted.conversations:,}"),
            ("head-room", f"processors {wanted.room:g}x, memory {wanted.memory_room:g}x of what is computed"),
        ),
    )  # fmt: skip


def _memory(wanted: Deployment, arriving: Load, held: Kept, found: Found) -> str:
    def cost(title: str) -> str:
        return f"{number(found.median('memory', title, 'store'))} B"

    one_id, turn = cost(REMEMBERED_ID), cost(SETTLED_TURN)
    history, open_window = (
        cost(HISTORY),
        cost(OPEN_WINDOW),
    )
    turns = number(arriving.turns)
    rows = [
        (
            "ids of messages and replies",
            f"({wanted.messages:,} + {turns}) /s x {wanted.id_ttl:,} s x {one_id}",
            held.ids,
        ),
        ("results of turns and replies", f"2 x {turns} /s x {wanted.result_ttl:,} s x {turn}", held.results),
        ("histories", f"{wanted.conversations:,} x {history}", held.histories),
        ("open windows", f"{number(arriving.open)} x {open_window}", held.windows),
        ("all of it", "the sum", held.total),
    ]
    each, everybody = held.histories / wanted.conversations, _size(held.windows / arriving.open * wanted.conversations)
    return "\n\n".join((
        "## What the ledger holds",
        table(("what", "formula", "memory"), ((what, formula, _size(size)) for what, formula, size in rows)),
        "Texts are short here (17 letters): add the length of yours to histories and windows.",
        "What changes it most:",
        "- A channel whose provider resends for longer keeps its ids for longer: WhatsApp for 7 days, "
        f"which is {_size(held.ids * 7)} of ids in place of {_size(held.ids)}.\n"
        f"- A history takes {number(each / 1000)} kB when it is full; `CHATBOT_HISTORY_MESSAGES` makes it shorter, "
        "and 0 keeps none.\n"
        f"- The responder is away and everybody writes: {wanted.conversations:,} open windows are {everybody} more "
        "until it is back.",
    ))  # fmt: skip


def _setup(wanted: Deployment, arriving: Load, held: Kept, found: Found, broker: str) -> Iterator[str]:
    ledger = sizing.busy(found, arriving, "store", broker)
    servers = sizing.cluster(wanted, ledger, held.total)
    web, workers = sizing.web(wanted, arriving, found, broker), sizing.workers(wanted, arriving, found, broker)
    carried = sizing.busy(found, arriving, "broker", broker)
    rows = [
        _ledger(wanted, servers, ledger, held),
        _broker(wanted, carried, broker),
        Row(what="`chatbot web` processes", count=web.count, cores=1, memory=web.memory, why=_by_cpu(wanted, web)),
        _workers(wanted, arriving, workers),
        Row(what="`chatbot scheduler` processes", count=2, cores=1, memory=web.memory, why="one works, one stands by"),
    ]  # fmt: skip
    yield table(HEAD, ((row.what, f"{row.count:,}", str(row.cores), _size(row.memory), row.why) for row in rows))
    cores, memory = sum(row.count * row.cores for row in rows), sum(row.count * row.memory for row in rows)
    yield f"Altogether {cores:,} cores and {_size(memory)}: multiply by what your provider asks for each."
    yield _settings(wanted, arriving, servers, workers)
    yield _costs(found, arriving, broker)
    if broker == "rabbitmq":
        yield _queue(arriving, found)


def _ledger(wanted: Deployment, servers: Cluster, cores: float, held: Kept) -> Row:
    share = servers.fullest
    why = (
        f"{servers.masters} masters, each with a replica: "
        f"the fullest has {share:.1%} of {servers.partitions} partitions; "
        f"processors: {number(cores)} x {share:.3f} x {wanted.room:g} = {number(cores * share * wanted.room)} "
        "of the one core that runs commands; "
        f"memory: {_size(held.total)} x {share:.3f} x {wanted.memory_room:g} = "
        f"{_size(held.total * share * wanted.memory_room)} of {wanted.node} GiB"
    )
    what, count = "ledger: Redis or Valkey Cluster nodes", 2 * servers.masters
    return Row(what=what, count=count, cores=2, memory=wanted.node * GIB, why=why)


def _broker(wanted: Deployment, cores: float, broker: str) -> Row:
    needed = cores * wanted.room
    if broker == "rabbitmq":
        why = (
            "every node keeps a copy of each message of a quorum queue, so each counts as the one that was measured: "
            f"{number(cores)} x {wanted.room:g} = {number(needed)} cores"
        )
        return Row(what="RabbitMQ nodes", count=3, cores=max(2, ceil(needed)), memory=SMALL, why=why)
    pairs = max(1, ceil(needed))
    why = (
        f"{number(cores)} x {wanted.room:g} = {number(needed)} of the one core that runs commands; "
        "each has a replica, and Sentinels fail over"
    )
    if pairs > 1:
        why += (
            "; the keys of a broker stay on one server, so run as many services, "
            "each with a broker and conversations of its own"
        )
    return Row(what="broker: Redis or Valkey servers", count=2 * pairs, cores=2, memory=SMALL, why=why)


def _workers(wanted: Deployment, arriving: Load, workers: Processes) -> Row:
    why = (
        f"the larger of {_by_cpu(wanted, workers)}, and {number(arriving.at_once)} answers at a time x {wanted.room:g} "
        f"/ {wanted.answers:,} a process = {workers.by_answers}"
    )
    return Row(what="`chatbot worker` processes", count=workers.count, cores=1, memory=workers.memory, why=why)


def _by_cpu(wanted: Deployment, processes: Processes) -> str:
    return f"{number(processes.busy)} busy cores x {wanted.room:g} = {processes.by_cpu}"


def _settings(wanted: Deployment, arriving: Load, servers: Cluster, workers: Processes) -> str:
    threads = ceil(arriving.at_once * wanted.room / workers.count)
    return "\n".join((
        "What to set:\n",
        f"- `CHATBOT_STORE_PARTITIONS={servers.partitions}`, before the first message: it is for good.",
        "- `CHATBOT_STORE_REPLICAS=1`: a fail-over of the ledger loses nothing that was answered.",
        f"- `chatbot worker --threads {threads}`: one thread for each answer that is given at the same time.",
    ))  # fmt: skip


def _costs(found: Found, arriving: Load, broker: str) -> str:
    rows = []
    for process in ("web", "worker", "store", "broker"):
        cost = f"{number(sizing.cost(found, process, broker))} µs"
        cores = number(sizing.busy(found, arriving, process, broker))
        rows.append((process, cost, f"{number(arriving.webhooks)} /s x {cost} = {cores}"))
    return "Measured by `soak`:\n\n" + table(("process", "processor time for a webhook", "cores kept busy"), rows)


def _queue(arriving: Load, found: Found) -> str:
    rate = found.median("work", CALLS, "unguarded", "rabbitmq")
    shown = "which is enough" if rate >= arriving.turns else "which does not show that it is enough: try it first"
    return (
        "The leader of a quorum queue is one Erlang process, so a queue has a limit that more nodes do not raise.\n"
        f"The turns' queue and the replies' queue carry {number(arriving.turns)} /s each; "
        f"`work` moved {number(rate)} /s through one queue to one worker process, {shown}."
    )


def _size(size: float) -> str:
    return f"{number(size / GIB)} GiB" if size >= GIB else f"{number(size / 2**20)} MiB"


def _caveats(wanted: Deployment) -> str:
    return "\n".join((
        "## What was not measured\n",
        "- No cluster: the servers that were measured were single ones. "
        "On a Redis Cluster a batch is one call for each master that it touches, so a batch saves less than here; "
        "in a RabbitMQ cluster nodes also send each other what they keep.",
        "- No network between the processes: it adds to every wait, and takes processor time that is not here.",
        "- Pumps: every worker process looks at all partitions when one of them rings, and each second at least; "
        "with many processes and partitions this work of the ledger has to come out of the head-room.",
        f"- Sizes of nodes are choices: {wanted.node} GiB for the ledger's, and {_size(SMALL)} for a broker's, which "
        "holds claim checks only.",
        "- Where the responder runs, and what it costs.",
    ))  # fmt: skip

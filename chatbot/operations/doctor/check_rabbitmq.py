"""What can be wrong with a RabbitMQ. docs/architecture.md says why each of it matters."""

from __future__ import annotations

from collections.abc import Iterator

from chatbot.operations.doctor.facts import Finding, Rabbitmq
from chatbot.operations.times import span

OLDEST = (3, 10)
#: Up to this one, a message may wait on the ladder of delays until a lost node is back.
LADDER_WAITS_UNTIL = (3, 12, 4)
#: ms. What an advanced.config should say, and the server's own default for consumers.
CONFIRM_TIMEOUT, CONSUMER_TIMEOUT = 10_000, 1_800_000
#: A message may wait in a worker while one of its predecessors runs. (More of them, if calls were quick until then and
#: hang now: docs/runbook.md.)
RUNS = 2
#: These forget to make a dead letter of what a cancelled consumer had (rabbitmq-server's pull request 12442).
FORGETFUL = ((4, 0, 0), (4, 0, 3))

_DELETE = "let its messages run out, `rabbitmqctl delete_queue {name} --if-empty`, and start the workers again"


def version(server: Rabbitmq) -> Iterator[Finding]:
    """Older servers have no dead lettering that is confirmed."""
    number = _number(server.version)
    if number and number < OLDEST:
        yield Finding(
            severity="error",
            found=f"RabbitMQ {server.version} is older than 3.10, which delays need",
            cure="use RabbitMQ 3.10 or newer, 4 for a cluster",
        )
    elif number and number <= LADDER_WAITS_UNTIL and server.nodes > 1:
        yield Finding(
            severity="warning",
            found=f"in a cluster of RabbitMQ {server.version}, delayed messages may wait until a lost node is back",
            cure="use a later one than 3.12.4",
        )
    elif number and FORGETFUL[0] <= number < FORGETFUL[1]:
        yield Finding(
            severity="warning",
            found=f"RabbitMQ {server.version} may run a dead letter again instead of keeping it",
            cure="use RabbitMQ 4.0.3 or newer",
        )


def queue_types(server: Rabbitmq) -> Iterator[Finding]:
    """A queue keeps the type that it was declared with."""
    for queue in server.queues:
        if queue.mismatch:
            yield Finding(
                severity="error",
                found=f"the queue {queue.name} is not as {server.kind} queues are: {queue.mismatch}",
                cure=f"set CHATBOT_RABBITMQ_QUEUES to what it is, or {_DELETE.format(name=queue.name)}",
            )


def delivery_limits(server: Rabbitmq) -> Iterator[Finding]:
    """Each worker that dies with a message counts as a delivery of it."""
    for queue in server.queues:
        if queue.limited:
            yield Finding(
                severity="warning",
                found=f"the queue {queue.name} has the limit of RabbitMQ 4: its messages are dead letters after 20 "
                "deliveries, and each worker that dies is one",
                cure=_DELETE.format(name=queue.name),
            )
    for policy in server.policies:
        if policy.delivery_limit is not None and policy.delivery_limit >= 0:
            yield Finding(
                severity="warning",
                found=f"the policy {policy.name} makes messages of {policy.queue} dead letters after "
                f"{policy.delivery_limit} deliveries, and each worker that dies is one",
                cure=f"take delivery-limit out of the policy {policy.name}, or let its pattern leave our queues alone",
            )


def consumer_timeout(server: Rabbitmq) -> Iterator[Finding]:
    """A run that takes longer than the server's patience loses its connection, and all that came with it."""
    named = [(f"the policy {policy.name}", policy.consumer_timeout) for policy in server.policies]
    for what, timeout in [("the server", server.consumer_timeout or CONSUMER_TIMEOUT), *named]:
        if timeout and timeout < RUNS * server.time_limit:
            yield Finding(
                severity="warning",
                found=f"{what} closes the channel of a worker that does not acknowledge within {span(timeout)} "
                f"(consumer_timeout), but an actor may run for {span(server.time_limit)}",
                cure=f"set consumer_timeout to at least {RUNS * server.time_limit} ms, or lower the time_limit",
            )


def confirm_timeout(server: Rabbitmq) -> Iterator[Finding]:
    """After a crash, a delayed message that was changing queues is tried again after this."""
    if server.confirm_timeout is not None and server.confirm_timeout > CONFIRM_TIMEOUT:
        yield Finding(
            severity="warning",
            found="after a crash of the server, delayed messages may be late by "
            f"{span(server.confirm_timeout)} (dead_letter_worker_publisher_confirm_timeout)",
            cure="put `[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 3000}]}].` into its advanced.config",
        )


def heartbeat(server: Rabbitmq) -> Iterator[Finding]:
    """Without heartbeats, a connection that died silently is trusted for hours."""
    if server.heartbeat == 0:
        yield Finding(
            severity="warning",
            found="connections to RabbitMQ have no heartbeat: the messages of a machine that vanished stay with it",
            cure="leave heartbeat out of CHATBOT_BROKER_URL: 10 s is our default",
        )


def alarms(server: Rabbitmq) -> Iterator[Finding]:
    """A node without memory or disk space blocks publishers."""
    for alarm in server.alarms:
        yield Finding(
            severity="error",
            found=f"RabbitMQ takes no messages: {alarm}",
            cure="free disk space or memory there, or raise disk_free_limit or vm_memory_high_watermark",
        )


def _number(version: str) -> tuple[int, ...]:
    parts = version.partition("-")[0].split(".")
    return tuple(int(part) for part in parts) if all(part.isdigit() for part in parts) else ()


CHECKS = (version, queue_types, delivery_limits, consumer_timeout, confirm_timeout, heartbeat, alarms)

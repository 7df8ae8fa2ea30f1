"""What can be wrong with a Redis or Valkey."""

from __future__ import annotations

from collections.abc import Iterator

from chatbot.operations.doctor.facts import Finding, Server
from chatbot.operations.times import span

#: Clocks that differ by so many ms are looked at; webhooks are signed for 300 s either way, so half of it is too much.
APART, FAR_APART = 2_000, 150_000
#: Of `maxmemory`.
NEARLY_FULL = 0.8
#: s. A client that is less patient takes a server that writes to its disk for one that is down.
IMPATIENT = 1.0
OLDEST = 7


def eviction(server: Server) -> Iterator[Finding]:
    """A server that evicts drops what it has promised to keep."""
    if server.policy != "noeviction":
        lost = "accepted messages" if server.ledger else "messages that wait in queues"
        yield Finding(
            severity="error",
            found=f"the {server.name} may drop {lost} when its memory is full (maxmemory-policy {server.policy})",
            cure="`CONFIG SET maxmemory-policy noeviction`, and the same in its redis.conf",
        )


def memory(server: Server) -> Iterator[Finding]:
    """A store that is full answers 503."""
    if server.maxmemory and server.used > NEARLY_FULL * server.maxmemory:
        yield Finding(
            severity="warning",
            found=f"the {server.name} uses {server.used / server.maxmemory:.0%} of its maxmemory of "
            f"{server.maxmemory >> 20} MiB; when it is full, nothing new is accepted",
            cure="raise maxmemory, or shorten CHATBOT_MESSAGE_TTL_S and CHATBOT_HISTORY_TTL_S",
        )


def persistence(server: Server) -> Iterator[Finding]:
    """What was answered must be on disk."""
    if server.writes_fail:
        yield Finding(
            severity="error",
            found=f"the {server.name} cannot write its file (aof_last_write_status or rdb_last_bgsave_status is err)",
            cure="look at its log: its disk is full, or not writable",
        )
    if not server.appendonly and server.ledger:
        yield Finding(
            severity="error",
            found=f"the {server.name} keeps nothing on disk (appendonly no): its next crash loses accepted messages",
            cure="`CONFIG SET appendonly yes` and `CONFIG SET appendfsync always`, and the same in its redis.conf",
        )
    elif not server.appendonly:
        yield Finding(
            severity="warning",
            found=f"the {server.name} keeps nothing on disk (appendonly no): turns come back from the ledger after a "
            "crash, but ordinary and delayed messages do not",
            cure="`CONFIG SET appendonly yes`, and the same in its redis.conf",
        )
    elif server.ledger and server.fsync not in (None, "always"):
        yield Finding(
            severity="warning",
            found=f"the {server.name} answers before it is on disk (appendfsync {server.fsync}): a crash of the "
            "machine loses about a second of accepted messages",
            cure="`CONFIG SET appendfsync always`, and the same in its redis.conf: webhooks share their fsyncs",
        )


def replication(server: Server) -> Iterator[Finding]:
    """A fail-over loses what the replica did not have yet."""
    if server.replica:
        yield Finding(
            severity="error",
            found=f"the {server.name} is a replica, which takes no writes",
            cure=f"let {server.variable} name its master",
        )
    elif server.replicas and server.ledger and not server.awaited_replicas:
        yield Finding(
            severity="warning",
            found=f"the {server.name} has {server.replicas} replicas, but does not need them to write: a fail-over may "
            "lose what was answered last, and nothing bounds how much that is",
            cure="`CONFIG SET min-replicas-to-write 1` and `CONFIG SET min-replicas-max-lag 1` bound it",
        )


def version(server: Server) -> Iterator[Finding]:
    """Older servers lack commands that we use."""
    major = server.version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        yield Finding(
            severity="error",
            found=f"the {server.name} runs {server.software} {server.version}",
            cure=f"use Redis or Valkey {OLDEST}.0 or newer",
        )


def cluster(server: Server) -> Iterator[Finding]:
    """A node of a cluster has a part of the keys only, and another part tomorrow."""
    if server.cluster and not server.as_cluster:
        yield Finding(
            severity="error",
            found=f"the {server.name} is a node of a cluster, and is used as if it were alone",
            cure=f"add ?cluster=true to {server.variable}: then keys that belong together carry one hash tag",
        )


def partitions(server: Server) -> Iterator[Finding]:
    """Under another number of partitions, keys are looked for in wrong places."""
    if server.partitions and server.partitions[0] != server.partitions[1]:
        began, ours = server.partitions
        yield Finding(
            severity="error",
            found=f"the ledger was begun with {began} partitions, and this version uses {ours}",
            cure=f"keep {began}, or choose another CHATBOT_NAMESPACE",
        )


def socket_timeouts(server: Server) -> Iterator[Finding]:
    """A command that waits on the server must end before the client gives up."""
    timeout = server.socket_timeout
    if timeout is None:
        yield Finding(
            severity="warning",
            found=f"clients wait for the {server.name} for ever (no socket_timeout): one that hangs is never left",
            cure=f"leave socket_timeout out of {server.variable}: 5 s is our default",
        )
    elif timeout <= server.blocks_for or timeout < IMPATIENT:
        yield Finding(
            severity="error",
            found=f"clients give the {server.name} up after {timeout:g} s (socket_timeout), but wait on it for up to "
            f"{server.blocks_for:g} s by design: idle workers take it for dead",
            cure=f"leave socket_timeout out of {server.variable}, or set it to more than "
            f"{max(server.blocks_for, IMPATIENT):g}",
        )


def clock(server: Server) -> Iterator[Finding]:
    """Turns go by the server's clock; signatures and ticks go by the host's."""
    if abs(server.ahead) >= APART:
        direction = "ahead of" if server.ahead > 0 else "behind"
        far = abs(server.ahead) >= FAR_APART
        yield Finding(
            severity="error" if far else "warning",
            found=f"this host's clock is {span(abs(server.ahead))} {direction} that of the {server.name}"
            + (": signed webhooks are refused at 300 s, and ticks are published at wrong times" if far else ""),
            cure="let both follow NTP (`timedatectl set-ntp true`)",
        )


OF_USE = (cluster, partitions, socket_timeouts)
CHECKS = (eviction, memory, persistence, replication, version, *OF_USE, clock)

"""Looking at a RabbitMQ: by AMQP at its queues, and by its management API, if there is one, at the rest.

Nothing is declared that is not there, and no message is touched.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pika.exceptions
from dramatiq.common import xq_name

from chatbot.brokers import rabbitmq_delays, rabbitmq_queues
from chatbot.operations.doctor.facts import Policy, Queue, Rabbitmq, Unseen
from chatbot.settings import Settings

#: s.
TIMEOUT = 5.0
#: ms. The server's default where there is no advanced.config.
DEFAULT_CONFIRM_TIMEOUT = 180_000
_EVAL = "rabbitmqctl eval 'application:get_env(rabbit, {name}).'"


def rabbitmq(broker: Any, chosen: Settings, names: Sequence[str], time_limit: int, unseen: list[Unseen]) -> Rabbitmq:
    """Return what a broker's server is. Raises ConnectionClosed."""
    node = broker.nodes.shuffled("doctor")[0]
    with broker.nodes.channel("doctor") as channel:
        version = str(channel.connection._impl.server_properties.get("version", ""))
        queues = list(_queues(channel, names, chosen.rabbitmq_queues, version))
    told = _managed(chosen.rabbitmq_management_url, node.virtual_host, [queue.name for queue in queues], unseen)
    return Rabbitmq(
        version=version,
        kind=chosen.rabbitmq_queues,
        heartbeat=node.heartbeat,
        queues=queues,
        time_limit=time_limit,
        **told,
    )


# --- by AMQP ---
def _queues(channel: Any, names: Sequence[str], kind: Any, version: str) -> Iterator[Queue]:
    connection = channel.connection
    for name in names:
        for declared, wanted in rabbitmq_queues.declarations(name, kind, None, version).items():
            if (found := _existing(connection, declared)) is not None:
                mismatch, limited = _compared(connection, declared, wanted)
                yield Queue(
                    name=declared,
                    work=declared == name,
                    messages=found.message_count,
                    consumers=found.consumer_count,
                    mismatch=mismatch,
                    limited=limited and declared != xq_name(name),
                )
    if (found := _existing(connection, rabbitmq_delays.LOST)) is not None:
        yield Queue(name=rabbitmq_delays.LOST, work=False, messages=found.message_count)


def _existing(connection: Any, name: str) -> Any:
    try:
        return connection.channel().queue_declare(name, passive=True).method
    except pika.exceptions.ChannelClosedByBroker as exc:
        if exc.reply_code != 404:
            raise
        return None


def _compared(connection: Any, name: str, wanted: dict[str, Any]) -> tuple[str, bool]:
    """Say how a queue that exists differs from what we would declare, and whether it lacks our delivery limit."""
    problem = _refusal(connection, name, wanted)
    if not problem:
        return "", False
    limit = rabbitmq_queues.DELIVERY_LIMIT
    older = {key: value for key, value in wanted.items() if key != limit}
    if limit in wanted and not _refusal(connection, name, older):
        return "", True
    return problem, False


def _refusal(connection: Any, name: str, wanted: dict[str, Any]) -> str:
    # Declaring a queue that is there changes nothing: the server only compares.
    try:
        connection.channel().queue_declare(name, durable=True, arguments=wanted)
    except pika.exceptions.ChannelClosedByBroker as exc:
        if exc.reply_code != rabbitmq_queues.PRECONDITION_FAILED:
            raise
        return str(exc.reply_text).removeprefix("PRECONDITION_FAILED - ")
    return ""


# --- by the management API ---
def _managed(url: str, vhost: str, queues: Sequence[str], unseen: list[Unseen]) -> dict[str, Any]:
    if not url:
        unseen.append(Unseen(what="RabbitMQ's policies and alarms", why="set CHATBOT_RABBITMQ_MANAGEMENT_URL"))
        unseen += _settings_unseen("set CHATBOT_RABBITMQ_MANAGEMENT_URL, or ask there")
        return {}
    try:
        with _client(url) as client:
            nodes, policies = _get(client, "nodes"), _get(client, f"policies/{quote(vhost, safe='')}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        # What a parser says may quote the password in the URL.
        told = str(exc) if isinstance(exc, httpx.HTTPError) else "its URL, or what it says, cannot be read"
        why = f"the management API at CHATBOT_RABBITMQ_MANAGEMENT_URL does not answer us: {told}"
        unseen.append(Unseen(what="RabbitMQ's policies and alarms", why=why))
        unseen += _settings_unseen("ask there")
        return {}
    files = {Path(name) for node in nodes for name in node.get("config_files") or []}
    confirm, consumer = _timeouts(files, bool(nodes) and all("config_files" in node for node in nodes))
    if confirm is None:
        unseen.append(_settings_unseen("the management API does not tell what is in an advanced.config")[0])
    return {
        "nodes": len(nodes),
        "alarms": list(_alarms(nodes)),
        "policies": list(_policies(policies, queues)),
        "confirm_timeout": confirm,
        "consumer_timeout": consumer,
    }


def _client(url: str) -> httpx.Client:
    parts = urlsplit(url)
    own = parts.hostname in ("localhost", "127.0.0.1", "::1")  # a proxy does not reach our loopback
    return httpx.Client(base_url=f"{url.rstrip('/')}/api/", timeout=TIMEOUT, trust_env=not own)


def _get(client: httpx.Client, path: str) -> list[dict[str, Any]]:
    answer = client.get(path)
    if answer.status_code != 200:
        raise httpx.HTTPError(f"it answers {answer.status_code}")
    found = answer.json()
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _alarms(nodes: Sequence[dict[str, Any]]) -> Iterator[str]:
    for node in nodes:
        if node.get("mem_alarm"):
            yield f"{node['name']} is short of memory"
        if node.get("disk_free_alarm"):
            yield f"{node['name']} is short of disk space"


def _policies(policies: Sequence[dict[str, Any]], queues: Sequence[str]) -> Iterator[Policy]:
    """Return, for each queue, the policy that holds: the one with the highest priority."""
    for queue in queues:
        fitting = [one for one in policies if _fits(one, queue)]
        if fitting:
            chosen = max(fitting, key=lambda one: int(one.get("priority", 0)))
            definition = chosen.get("definition") or {}
            limit, timeout = definition.get("delivery-limit"), definition.get("consumer-timeout")
            yield Policy(name=str(chosen.get("name")), queue=queue, delivery_limit=limit, consumer_timeout=timeout)


def _fits(policy: dict[str, Any], queue: str) -> bool:
    try:
        found = re.search(str(policy.get("pattern", "")), queue) is not None
    except re.error:  # Erlang's expressions are not quite ours
        return False
    return found and policy.get("apply-to", "all") not in ("exchanges", "streams")


# --- its files, where it runs on this machine ---
def _timeouts(files: set[Path], known: bool) -> tuple[int | None, int | None]:
    """Return the confirm timeout and the consumer timeout, as far as they can be told. A server without an
    advanced.config has the default."""
    texts, unread = [], False
    for file in files:
        try:
            texts.append(file.read_text())
        except OSError:
            unread = unread or file.name == "advanced.config"
    text = "\n".join(re.sub(r"(?m)^\s*[%#].*$", "", one) for one in texts)
    confirm = re.search(r"dead_letter_worker_publisher_confirm_timeout\s*,\s*(\d+)", text)
    consumer = re.search(r"consumer_timeout\s*[,=]\s*(\d+)", text)
    default = DEFAULT_CONFIRM_TIMEOUT if known and not unread else None
    return (int(confirm[1]) if confirm else default), (int(consumer[1]) if consumer else None)


def _settings_unseen(why: str) -> list[Unseen]:
    name = "dead_letter_worker_publisher_confirm_timeout"
    return [Unseen(what=f"RabbitMQ's {name}", why=f"{why}: `{_EVAL.format(name=name)}` should say 3000")]

"""The nodes of a RabbitMQ, and connections to them that say in the server's lists whose they are."""

from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import pika
import pika.exceptions
from dramatiq.errors import ConnectionClosed
from pika.adapters.utils.connection_workflow import AMQPConnectorException

from chatbot.errors import ConfigurationError

#: s. The server gives a silent connection up after two of these, and hands its messages to others.
HEARTBEAT = 10
#: s. A ping is given up after this long per node.
PING_TIMEOUT = 2.0
#: s. A node that keeps its connection alive, but does not answer what it is asked, is given up after this long.
ANSWER_TIMEOUT = 15.0
#: s. One that was told goodbye, and says nothing, is left after this long.
GOODBYE = 5.0

#: What a lost connection, or one that cannot be had, comes as. A node that hangs, has no address or speaks no TLS is
#: no AMQPError; pika asserts where it meets a connection that another thread has seen closing.
LOST = (pika.exceptions.AMQPError, AMQPConnectorException, OSError, AssertionError)

#: What the server says of a user, a virtual host or a permission: 403 is access-refused, 530 is not-allowed. Limits on
#: the number of connections are 530, too, but they pass.
_REFUSAL = re.compile(r"ClosedByBroker: \((?:403|530)\) (?!.*limit)(.*)", re.DOTALL)


class AccessRefused(ConfigurationError, ConnectionClosed):
    """The server does not let this user in: trying again is of no use."""


class Nodes:
    """Nodes that are as good as each other: each connection tries them in an order of its own."""

    def __init__(self, parameters: Sequence[Any], heartbeat: int = HEARTBEAT) -> None:
        self._parameters = [_with_heartbeat(node, heartbeat) for node in parameters]

    def shuffled(self, role: str) -> list[Any]:
        """Return the parameters of all nodes, in random order, for a connection with this role."""
        nodes = [_named(node, role) for node in self._parameters]
        random.shuffle(nodes)
        return nodes

    def open(self, role: str) -> pika.BlockingConnection:
        """Return a connection. Raises ConnectionClosed if no node accepts one."""
        with wrapped():
            return pika.BlockingConnection(self.shuffled(role))

    @contextmanager
    def channel(self, role: str) -> Iterator[Any]:
        """Lend a channel of a connection that ends with the block. Raises ConnectionClosed if it ends before."""
        connection = self.open(role)
        try:
            with wrapped(), answering(connection):
                yield connection.channel()
        finally:
            close(connection)

    def ping(self) -> None:
        """Raise ConnectionClosed unless a node accepts a connection within seconds."""
        with wrapped():
            pika.BlockingConnection([_impatient(node) for node in self.shuffled("ping")]).close()


def close(connection: pika.BlockingConnection) -> None:
    """Close a connection, whatever state it is in."""
    try:
        if connection.is_open:
            with answering(connection, GOODBYE):
                connection.close()
    except LOST:
        pass  # it is closed, which is what was wanted


@contextmanager
def wrapped() -> Iterator[None]:
    """Dramatiq reconnects after its own error only."""
    try:
        yield
    except LOST as exc:
        raise failure(exc) from None


def failure(error: BaseException) -> ConnectionClosed:
    """Return what to raise for a connection that was lost, or cannot be had."""
    if refusal := _REFUSAL.search(repr(error)):
        said = refusal[1].strip("\\\"')")
        return AccessRefused(
            "RabbitMQ lets nobody in with what CHATBOT_BROKER_URL says: check user, password, virtual host (/ is %2F) "
            f"and the user's permissions. The server says: {said}"
        )
    return ConnectionClosed(error)


@contextmanager
def answering(connection: pika.BlockingConnection, timeout: float = ANSWER_TIMEOUT) -> Iterator[None]:
    """Bound the calls of the block, which wait for their answers: pika does so for ever while heartbeats come."""
    loop = connection._impl

    def leave() -> None:
        loop._terminate_stream(TimeoutError(f"no answer within {timeout:g} s"))

    timer = loop._adapter_call_later(timeout, leave) if connection.is_open else None
    try:
        yield
    finally:
        if timer is not None and connection.is_open:
            loop._adapter_remove_timeout(timer)


def _with_heartbeat(node: Any, heartbeat: int) -> Any:
    if node.heartbeat is None:
        node = copy(node)
        node.heartbeat = heartbeat
    return node


def _named(node: Any, role: str) -> Any:
    node = copy(node)
    name = f"chatbot:{socket.gethostname()}:{os.getpid()}:{role}"
    node.client_properties = {"connection_name": name, **(node.client_properties or {})}
    return node


def _impatient(node: Any) -> Any:
    node.socket_timeout = node.stack_timeout = PING_TIMEOUT
    node.connection_attempts = 1
    return node

"""The nodes of a RabbitMQ, and connections to them that say in the server's lists whose they are."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import pika
import pika.exceptions
from dramatiq.errors import ConnectionClosed
from pika.adapters.utils.connection_workflow import AMQPConnectorException

#: s. The server gives a silent connection up after two of these, and hands its messages to others.
HEARTBEAT = 10
#: s. A ping is given up after this long per node.
PING_TIMEOUT = 2.0

#: What a lost connection, or one that cannot be had, comes as. A node that hangs, has no address or speaks no TLS is
#: no AMQPError; pika asserts where it meets a connection that another thread has seen closing.
LOST = (pika.exceptions.AMQPError, AMQPConnectorException, OSError, AssertionError)


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
            with wrapped():
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
            connection.close()
    except LOST:
        pass  # it is closed, which is what was wanted


@contextmanager
def wrapped() -> Iterator[None]:
    """Dramatiq reconnects after its own error only."""
    try:
        yield
    except LOST as exc:
        raise ConnectionClosed(exc) from None


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

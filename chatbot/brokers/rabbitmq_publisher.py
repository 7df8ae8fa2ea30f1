"""One thread and one connection per process publish everything, and every publication is confirmed.

pika's own blocking channel waits for each confirm in turn, and needs a connection per thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import pika
from dramatiq.errors import ConnectionClosed

from chatbot.brokers.rabbitmq_nodes import GOODBYE, AccessRefused, Nodes, failure
from chatbot.brokers.rabbitmq_session import PublishingSession

logger = logging.getLogger(__name__)

#: refused: the server said no. unroutable: there is no such queue. unsent: no connection, or a blocked one.
#: After these three the message is in no queue. unknown: the connection was lost before the confirm came.
Fate = Literal["confirmed", "refused", "unroutable", "unsent", "unknown"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A body on its way through `exchange` to `queue`."""

    queue: str
    exchange: str
    routing_key: str
    body: bytes
    properties: pika.BasicProperties


class Batch:
    """Publications that travel together, and what became of each. `done` is called when all of that is known."""

    def __init__(self, publications: Sequence[Envelope], done: Callable[[Batch], None] | None = None) -> None:
        self.publications = publications
        self.fates: list[Fate | None] = [None] * len(publications)
        self.error: BaseException | str | None = None
        self.finished = threading.Event()
        self._open, self._done = len(publications), done

    def settle(self, i: int, fate: Fate, error: BaseException | str | None = None) -> None:
        """Say what became of one."""
        if self.fates[i] is not None:
            return
        self.fates[i] = fate
        self.error = self.error or error
        self._open -= 1
        if not self._open:
            self.finished.set()
            if self._done is not None:
                self._done(self)

    def settle_rest(self, fate: Fate, error: BaseException | str | None = None) -> None:
        """Say what became of all about which nothing is known."""
        for i, known in enumerate(self.fates):
            if known is None:
                self.settle(i, fate, error)


class Publisher:
    """The thread. It starts, and connects, with the first batch; a lost connection comes back with the next.

    A server that says nothing about a publication for `patience` s has lost it, or its leader.
    """

    def __init__(self, nodes: Nodes, patience: float) -> None:
        self._nodes, self._patience = nodes, patience
        self._changed = threading.Condition()
        self._inbox: deque[Batch] = deque()
        self._thread: threading.Thread | None = None
        self._session: PublishingSession | None = None
        self._closing = False

    def publish(self, publications: Sequence[Envelope]) -> Batch:
        """Return a batch when everything about it is known, or nothing more within the publisher's patience."""
        batch = Batch(publications)
        if publications:
            self.submit(batch)
            if not batch.finished.wait(self._patience):
                self._give_up(batch)
        return batch

    def submit(self, batch: Batch) -> None:
        """Send a batch whose `done` is called from the thread."""
        with self._changed:
            if not self.is_running():
                self._start()
            self._inbox.append(batch)
            self._wake()

    def close(self) -> None:
        """End the thread and its connection. A further batch starts both again."""
        with self._changed:
            thread, self._closing = self._thread, True
            self._wake()
        if thread is not None and thread is not threading.current_thread():
            thread.join(GOODBYE)

    def is_running(self) -> bool:
        """Say whether the thread lives."""
        return self._thread is not None and self._thread.is_alive()

    def take(self) -> list[Batch]:
        """Return what waits to be sent."""
        with self._changed:
            batches = list(self._inbox)
            self._inbox.clear()
        return batches

    @property
    def closing(self) -> bool:
        """Whether the connection is to end."""
        return self._closing

    def _start(self) -> None:
        # After a fork, what there is belongs to the parent.
        self._session, self._closing = None, False
        self._inbox = deque()
        self._thread = threading.Thread(target=self._run, name="rabbitmq-publisher", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        self._changed.notify_all()
        if self._session is not None:
            self._session.wake()

    def _give_up(self, batch: Batch) -> None:
        with self._changed:
            unsent = batch in self._inbox
            if unsent:
                self._inbox.remove(batch)
            blocked = self._session.blocked if self._session is not None else ""
        why = f"RabbitMQ takes no messages: {blocked}" if blocked else f"no confirm within {self._patience:g} s"
        batch.settle_rest("unsent" if unsent else "unknown", why)

    def _run(self) -> None:
        while self._has_work():
            try:
                self._serve()
            except Exception:
                logger.exception("the publisher's connection failed")
                self._fail("unsent", "the publisher's connection failed")
        self._fail("unsent", "the broker is closed")

    def _has_work(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._inbox or self._closing)
            return not self._closing

    def _serve(self) -> None:
        """Publish through the first node that can be had, until its connection ends."""
        errors: list[ConnectionClosed] = []
        for node in self._nodes.shuffled("publisher"):
            session = PublishingSession(node, self, self._patience)
            with self._changed:
                self._session = session
            try:
                session.run()
            finally:
                with self._changed:
                    self._session = None
                session.close()
            if session.ready:
                return
            if session.error is not None:
                errors.append(failure(session.error))
        # A node that refuses says more than one that is down.
        errors.sort(key=lambda error: not isinstance(error, AccessRefused))
        self._fail("unsent", next(iter(errors), None))

    def _fail(self, fate: Fate, error: BaseException | str | None) -> None:
        for batch in self.take():
            batch.settle_rest(fate, error)

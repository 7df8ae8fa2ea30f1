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

from chatbot.brokers.rabbitmq_nodes import Nodes
from chatbot.brokers.rabbitmq_session import PublishingSession

logger = logging.getLogger(__name__)

#: refused: the server said no. unroutable: there is no such queue. unsent: no connection, or a blocked one.
#: After these three the message is in no queue. unknown: the connection was lost before the confirm came.
Fate = Literal["confirmed", "refused", "unroutable", "unsent", "unknown"]

#: s. Closing waits for so long until the server says goodbye.
GOODBYE = 5.0


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
    """The thread. It starts, and connects, with the first batch; a lost connection comes back with the next."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._changed = threading.Condition()
        self._inbox: deque[Batch] = deque()
        self._thread: threading.Thread | None = None
        self._session: PublishingSession | None = None
        self._closing = False

    def publish(self, publications: Sequence[Envelope], timeout: float) -> Batch:
        """Return a batch when everything about it is known, but within `timeout` s."""
        batch = Batch(publications)
        if publications:
            self.submit(batch)
            if not batch.finished.wait(timeout):
                self._give_up(batch, timeout)
        return batch

    def submit(self, batch: Batch) -> None:
        """Send a batch whose `done` is called from the thread."""
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
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

    def _give_up(self, batch: Batch, timeout: float) -> None:
        with self._changed:
            unsent = batch in self._inbox
            if unsent:
                self._inbox.remove(batch)
            elif self._session is not None:
                # After a leader was lost, what follows an unconfirmed message on its channel may wait for it for ever.
                self._session.replace()
        batch.settle_rest("unsent" if unsent else "unknown", f"no confirm within {timeout:g} s")

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
        error: BaseException | str | None = None
        for node in self._nodes.shuffled("publisher"):
            session = PublishingSession(node, self)
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
            error = error or session.error
        self._fail("unsent", error)

    def _fail(self, fate: Fate, error: BaseException | str | None) -> None:
        for batch in self.take():
            batch.settle_rest(fate, error)

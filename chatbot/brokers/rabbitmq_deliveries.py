"""What one connection has delivered: handed out by its thread, settled from any thread, in few frames."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any, Literal, NamedTuple

import pika.exceptions

from chatbot.brokers.rabbitmq_nodes import GOODBYE, LOST, Nodes, answering, close, wrapped
from chatbot.brokers.window import SLOW, Window

logger = logging.getLogger(__name__)

Verdict = Literal["ack", "reject", "requeue"]

#: s. A connection whose thread was silent for so much longer than it may have been must be looked at first.
SILENCE = 0.5
#: s. While workers are busy with other messages, more verdicts follow soon: in one frame they cost a fraction.
GATHERING = 0.0005
#: s. For so long an acknowledgement waits for those before it: together they are one frame.
LATEST = 0.005


class Delivery(NamedTuple):
    tag: int
    body: bytes
    redelivered: bool


class Deliveries:
    """A consumer's connection while it lasts. Raises ConnectionClosed if there is none to be had."""

    def __init__(self, nodes: Nodes, queue: str, window: Window) -> None:
        self._queue, self._window = queue, window
        self._arrived: deque[Delivery] = deque()
        #: Tags that the server waits for, in their order.
        self._held: dict[int, None] = {}
        self._verdicts: list[tuple[int, Verdict]] = []
        #: Tags whose acknowledgement waits for one before them that is still held, and whether a timer will end that.
        self._late: list[int] = []
        self._timed = False
        #: A verdict that waited at the end of the last look.
        self._left: tuple[int, Verdict] | None = None
        self._changed = threading.Condition()
        self._turns, self._looked, self._patience = 0, time.monotonic(), 0.0
        self._error: BaseException | None = None
        #: The tag of the consumer that makes the window wide, while it is.
        self._second = ""
        self._connection = nodes.open(f"consumer:{queue}")
        try:
            with wrapped(), answering(self._connection):
                self._channel = self._connection.channel()
                self._channel.add_on_cancel_callback(self._on_cancel)
                self._consume(window.narrow)
        except BaseException:
            close(self._connection)
            raise

    def next(self, timeout: float) -> Delivery | None:
        """Wait up to `timeout` s for a delivery. Raises one of LOST when there will be no more."""
        try:
            if not self._arrived:
                self._look(timeout)
            if self._error is not None:
                raise self._error
        except BaseException as exc:
            self._fail(exc)
            raise
        return self._arrived.popleft() if self._arrived else None

    def settle(self, tag: int, verdict: Verdict) -> None:
        """Tell the server what became of a message. With the connection gone it has taken the message back."""
        with self._changed:
            first = not self._verdicts
            self._verdicts.append((tag, verdict))
        if first:
            self._interrupt(self._flush_gathered)

    def moved(self, tag: int, safely: bool) -> None:
        """Acknowledge what was published elsewhere; else begin anew, which brings the message back."""
        if safely:
            self.settle(tag, "ack")
            return
        self._fail(ConnectionError("a message could not be moved"))
        self._interrupt(lambda: None)

    def is_alive(self) -> bool:
        """Say whether the server still has us as its consumer, as far as we can know.

        A process that was paused may have lost its connection long ago: then its thread has to look first.
        """
        with self._changed:
            if self._error is None and time.monotonic() - self._looked > self._patience + SILENCE:
                # The turn that is going on may have begun before the pause.
                seen = self._turns
                self._changed.wait_for(lambda: self._turns >= seen + 2 or self._error is not None, 10)
            return self._error is None

    def close(self) -> None:
        """Send the verdicts that wait, and give the rest back."""
        with suppress(*LOST), answering(self._connection, GOODBYE):
            self._flush()
            self._acknowledge([], at_once=True)
            self._channel.close()
        close(self._connection)
        self._fail(ConnectionError("closed"))

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _interrupt(self, callback: Any) -> None:
        with suppress(*LOST):
            self._connection.add_callback_threadsafe(callback)

    # --- in the thread of the connection ---
    def _consume(self, most: int) -> str:
        """Have up to so many more messages at a time. Return the consumer's tag."""
        self._channel.basic_qos(prefetch_count=most)
        return str(self._channel.basic_consume(self._queue, self._on_delivery))

    def _resize(self) -> None:
        """Widen the window by a second consumer: the server changes none that is there. What arrives while that one is
        cancelled goes back to the queue."""
        more = self._window.size() - self._window.narrow
        if bool(more) == bool(self._second) or self._error is not None:
            return
        with answering(self._connection):
            if self._second:
                self._channel.basic_cancel(self._second)
            self._second = self._consume(more) if more else ""

    def _look(self, timeout: float) -> None:
        self._patience, began = timeout, time.monotonic()
        # A wide window must not wait for long to become narrow: a burst of slow calls would fill it.
        self._connection.process_data_events(min(timeout, SLOW) if self._second else timeout)
        if not self._channel.is_open:
            raise pika.exceptions.ChannelWrongStateError("the server has closed the channel")
        self._flush_left()
        self._resize()
        with self._changed:
            self._turns += 1
            if time.monotonic() - began <= timeout + SILENCE:
                self._looked = time.monotonic()  # else the process was paused, and that may have been after the look
            self._changed.notify_all()

    def _on_delivery(self, _channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        self._held[method.delivery_tag] = None
        self._arrived.append(Delivery(method.delivery_tag, body, method.redelivered))

    def _on_cancel(self, _frame: Any) -> None:
        self._fail(pika.exceptions.ConsumerCancelled("the server has cancelled the consumer: its queue is gone"))

    def _flush_gathered(self) -> None:
        if len(self._held) > len(self._verdicts):
            time.sleep(GATHERING)
        self._flush()

    def _flush_left(self) -> None:
        # Who was interrupted after it had noted the first verdict has not called, and later ones rely on that.
        first = next(iter(self._verdicts), None)
        if first is not None and first is self._left:
            self._flush()
        self._left = first

    def _flush(self) -> None:
        with self._changed:
            verdicts, self._verdicts = self._verdicts, []
        self._window.done(len(verdicts))
        acks = []
        for tag, verdict in verdicts:
            if tag not in self._held:
                continue  # a second verdict would cost the channel
            del self._held[tag]
            if verdict == "ack":
                acks.append(tag)
            else:
                self._channel.basic_nack(tag, requeue=verdict == "requeue")
        self._acknowledge(acks)

    def _acknowledge(self, tags: list[int], *, at_once: bool = False) -> None:
        """Everything below the first tag that is still held goes in one frame. What is above it waits a little, for it
        may soon be below, while it takes up less than half of the window, and nothing of one that is exact: some thread
        might be idle for it. `at_once`, each costs a frame."""
        held = next(iter(self._held), None)
        tags = sorted([*self._late, *tags])
        below = [tag for tag in tags if held is None or tag < held]
        above = tags[len(below) :]
        window = self._window.wide if self._second else self._window.narrow
        at_once = at_once or self._window.is_exact or len(above) * 2 > window
        self._late = [] if at_once else above
        if below:
            self._channel.basic_ack(below[-1], multiple=len(below) > 1)
        for tag in above if at_once else ():
            self._channel.basic_ack(tag)
        if self._late and not self._timed:
            self._timed = True
            self._connection.call_later(LATEST, self._end_wait)

    def _end_wait(self) -> None:
        self._timed = False
        self._acknowledge([], at_once=True)

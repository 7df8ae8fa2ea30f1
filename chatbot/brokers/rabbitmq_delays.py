"""Delays on the server: a ladder of queues whose messages expire, one after the other, into the queue they are for.

A delay in ms is written with 16 digits of base 4, and there is one queue for each digit's value at each place. A queue
holds its messages for that part of the delay and hands them to the exchange of the next place, so all messages of a
queue wait equally long: the server looks at the head of a queue only. Dead lettering is at-least-once, so a message
leaves a queue when the next one has it. NServiceBus and Celery 5.5 do the same with base 2; base 4 halves the steps.

After a crash of a node, a queue may hand on a message before the next queue is up. None is lost, but the server tries
again only after `dead_letter_worker_publisher_confirm_timeout` (ms, of the application rabbit in advanced.config),
three minutes by default: a few seconds are better.
"""

from __future__ import annotations

from typing import Any

BASE = 4
#: 4 ** 16 ms are 49 days: the longest time to live of a queue is one ms less.
PLACES = 16
LONGEST: int = BASE**PLACES - 1

PREFIX = "chatbot.delay"
#: Where a message leaves the ladder.
EXIT = f"{PREFIX}.exit"
#: Keeps what comes out of the ladder for a queue that was deleted meanwhile.
LOST = f"{PREFIX}.lost"

#: ms. A longer delay loses its last digits, rounded up, as each digit costs a step of a few ms.
COARSEST = 16
PRECISION = 128


def route(delay: int, queue: str) -> tuple[str, str]:
    """Return the exchange and the routing key for a delay of 1 to LONGEST ms."""
    digits = _digits(_rounded(delay))
    place = next(i for i in reversed(range(PLACES)) if digits[i])
    return _exchange(place), ".".join([*map(str, reversed(digits)), queue])


def declare(channel: Any) -> None:
    """Declare the ladder, from its end to its beginning, so that no step leads into nothing."""
    _declare_exit(channel)
    for place in range(PLACES):
        channel.exchange_declare(_exchange(place), "topic", durable=True)
        after = _exchange(place - 1) if place else EXIT
        channel.exchange_bind(after, _exchange(place), _pattern(place, 0))
        for digit in range(1, BASE):
            queue = _queue(place, digit)
            channel.queue_declare(queue, durable=True, arguments=_arguments(digit * BASE**place, after))
            channel.queue_bind(queue, _exchange(place), _pattern(place, digit))


def lead_to(channel: Any, queue: str) -> None:
    """Let the ladder end in a queue, among others."""
    _declare_exit(channel)
    channel.queue_bind(queue, EXIT, "*." * PLACES + queue)


def queues() -> list[str]:
    """Return the names of the ladder's queues."""
    return [_queue(place, digit) for place in range(PLACES) for digit in range(1, BASE)]


def _declare_exit(channel: Any) -> None:
    # A message without a queue would be tried again for ever, and hold up those behind it.
    channel.exchange_declare(LOST, "fanout", durable=True)
    channel.queue_declare(LOST, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(LOST, LOST)
    channel.exchange_declare(EXIT, "topic", durable=True, arguments={"alternate-exchange": LOST})


def _arguments(ttl: int, after: str) -> dict[str, Any]:
    # Quorum whatever the work queues are: dead lettering between classic queues is not confirmed.
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": ttl,
        "x-dead-letter-exchange": after,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # what the strategy asks for
    }


def _rounded(delay: int) -> int:
    coarse = 1
    while coarse < COARSEST and coarse * BASE * PRECISION <= delay:
        coarse *= BASE
    rounded = -(-delay // coarse) * coarse
    return min(rounded, LONGEST)


def _digits(number: int) -> list[int]:
    """Return the digits, the last one first."""
    return [(number >> 2 * place) % BASE for place in range(PLACES)]


def _pattern(place: int, digit: int) -> str:
    return "*." * (PLACES - 1 - place) + f"{digit}.#"


def _exchange(place: int) -> str:
    return f"{PREFIX}.{place}"


def _queue(place: int, digit: int) -> str:
    return f"{PREFIX}.{place}.{digit}"

"""The comparison in choosing-a-broker.md: between its marks stands what a run has found on either broker."""

from __future__ import annotations

import re

from chatbot.bench.options import BROKERS
from chatbot.bench.text import number
from chatbot.bench.titles import CALLS
from chatbot.bench.written.found import Found
from chatbot.bench.written.table import table

PAGE = "choosing-a-broker.md"
_MARKED = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- /measured -->)", re.S)

RESUMED = "from kill -9 of a worker to the start of its last call in another"
#: What is told, and which side of which benchmark's figure tells it, in which unit.
ROWS = (
    ("webhooks accepted, by one web process", "accept", "accepted webhooks", "chatbot", "/s"),
    ("from send to start on an idle worker, p50", "wake", "from send to start, idle, p50", "unguarded", "ms"),
    ("the same of an idempotent call", "wake", "from send to start, idle, p50", "idempotent", "ms"),
    ("from the end of the quiet time to the start, p50", "debounce",
     "from the end of the quiet time to the start, p50", "chatbot", "ms"),
    ("ordinary calls of one worker process", "work", CALLS, "unguarded", "/s"),
    ("idempotent calls of one worker process", "work", CALLS, "idempotent", "/s"),
    ("turns of one worker process", "work", CALLS, "turns", "/s"),
    ("from `kill -9` of a worker until its turns run elsewhere", "recover", RESUMED, "turns", "s"),
    ("10,000 windows that are due at once: all handed over", "storm",
     "from the last due time until all are done", "handed over", "s"),
)  # fmt: skip


def filled(page: str, found: Found) -> str:
    """Return the page with the figures of a run. Raises ConfigurationError where one is missing."""
    rows = [
        (what, *(f"{number(found.median(command, title, side, broker))} {unit}" for broker in BROKERS))
        for what, command, title, side, unit in ROWS
    ]
    told = (
        "On two cores that the servers, the load and we shared "
        "([all figures, and how they were measured](benchmarks.md)):\n\n"
        f"{table(('', 'Redis', 'RabbitMQ'), rows)}\n\n"
        f"So: {_guarded(found)}; {_sooner(found)}.\n"
        "What a service of the size of 10,000 messages a second needs with each is in "
        "[What 10,000 messages a second need](sizing.md).\n"
    )
    return _MARKED.sub(lambda _: told, page)


def _guarded(found: Found) -> str:
    """Say with which broker a worker process does more guarded work, and how much more."""
    times = sorted(
        found.median("work", CALLS, side, "redis") / found.median("work", CALLS, side, "rabbitmq")
        for side in ("idempotent", "turns")
    )
    if times[0] > 1:
        return f"with Redis a worker process does {times[0]:.1f} to {times[1]:.1f} times the guarded work"
    if times[1] < 1:
        return f"with RabbitMQ a worker process does {1 / times[1]:.1f} to {1 / times[0]:.1f} times the guarded work"
    return "a worker process does about the same guarded work with either"


def _sooner(found: Found) -> str:
    redis, rabbitmq = (found.median("recover", RESUMED, "turns", broker) for broker in BROKERS)
    return f"{'Redis' if redis < rabbitmq else 'RabbitMQ'} gives a dead worker's work back sooner"

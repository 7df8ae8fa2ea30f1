"""The comparison in choosing-a-broker.md: between its marks stands what a run has found on either broker."""

from __future__ import annotations

import re

from chatbot.bench.options import BROKERS
from chatbot.bench.text import number
from chatbot.bench.titles import ACCEPTED, CALLS, HANDED_OVER, OVERSHOOT, PICK_UP, RESUMED
from chatbot.bench.written.found import Found
from chatbot.bench.written.table import table
from chatbot.errors import ConfigurationError

PAGE = "choosing-a-broker.md"
_MARKED = re.compile(r"(?<=<!-- measured -->\n).*?(?=<!-- /measured -->)", re.S)

#: What is told, and which side of which benchmark's figure tells it, in which unit.
ROWS = (
    ("webhooks accepted, by one web process", "accept", ACCEPTED, "chatbot", "/s"),
    ("from send to start of an ordinary call on an idle worker, p50", "wake", PICK_UP.format(50), "unguarded", "ms"),
    ("the same of an idempotent call", "wake", PICK_UP.format(50), "idempotent", "ms"),
    ("from the end of the quiet time to the start, p50", "debounce", OVERSHOOT.format(50), "chatbot", "ms"),
    ("ordinary calls of one worker process", "work", CALLS, "unguarded", "/s"),
    ("idempotent calls of one worker process", "work", CALLS, "idempotent", "/s"),
    ("turns of one worker process", "work", CALLS, "turns", "/s"),
    ("from `kill -9` of a worker until its turns run elsewhere", "recover", RESUMED, "turns", "s"),
    ("10,000 windows that are due at once: all handed over", "storm", HANDED_OVER, "handed over", "s"),
)


def filled(page: str, found: Found) -> str:
    """Return the page with the figures of a run. Raises ConfigurationError where one is missing, or the marks are."""
    rows = [
        (what, *(f"{number(found.median(command, title, side, broker))} {unit}" for broker in BROKERS))
        for what, command, title, side, unit in ROWS
    ]
    cores = {report.machine.get("cores", "unknown") for report in found.reports.values()}
    told = (
        f"On {' and '.join(sorted(cores))} cores that the servers, the load and we shared "
        "([all figures, and how they were measured](benchmarks.md)):\n\n"
        f"{table(('', 'Redis', 'RabbitMQ'), rows)}\n\n"
        f"So: {_guarded(found)}; {_sooner(found)}.\n"
        "What a service of the size of 10,000 messages a second needs with each is in "
        "[What 10,000 messages a second need](sizing.md).\n"
    )
    filled_in, places = _MARKED.subn(lambda _: told, page)
    if places != 1:
        raise ConfigurationError(
            f"{PAGE} has {places} places for the figures, not one: put a line `<!-- measured -->` before them, "
            "and a line `<!-- /measured -->` behind"
        )
    return filled_in


def _guarded(found: Found) -> str:
    """Say with which broker a worker process does more guarded work, and how much more."""
    times = [
        found.median("work", CALLS, side, "redis") / found.median("work", CALLS, side, "rabbitmq")
        for side in ("idempotent", "turns")
    ]
    for broker, of_it in (("Redis", times), ("RabbitMQ", [1 / one for one in times])):
        least, most = (f"{one:.1f}" for one in sorted(of_it))
        if float(least) > 1:
            much = least if least == most else f"{least} to {most}"
            return f"with {broker} a worker process does {much} times the guarded work"
    return "a worker process does about the same guarded work with either"


def _sooner(found: Found) -> str:
    redis, rabbitmq = (found.median("recover", RESUMED, "turns", broker) for broker in BROKERS)
    if number(redis) == number(rabbitmq):
        return "either gives a dead worker's work back as soon"
    return f"{'Redis' if redis < rabbitmq else 'RabbitMQ'} gives a dead worker's work back sooner"

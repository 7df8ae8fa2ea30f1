"""What can be wrong with the environment, and with the service at work."""

from __future__ import annotations

from collections.abc import Iterator

from chatbot.operations.doctor.facts import Configuration, Finding, Work
from chatbot.operations.times import count, span
from chatbot.stores.values import DAY

#: ms. A pump looks at a conversation within milliseconds of its time.
BEHIND = 60_000
#: ms. The sweep is published every minute.
SILENT = 180_000
_WORKERS = "start `chatbot worker`, and look at its log"
_SCHEDULER = "start `chatbot scheduler`, with the environment of the workers: nothing is swept or made up without it"


# --- the environment ---
def settings(given: Configuration) -> Iterator[Finding]:
    """What is missing or cannot be used keeps the service from starting."""
    for problem in given.problems:
        found, _, cure = problem.partition(": ")
        yield Finding(severity="error", found=found, cure=cure or "put it right: the service does not start like this")


def secrets(given: Configuration) -> Iterator[Finding]:
    """A secret that can be guessed is none."""
    for variable, why in given.weak:
        yield Finding(
            severity="warning",
            found=f"{variable} {why}",
            cure="choose a random one, such as from `openssl rand -base64 32` (whsec_ before it where one is asked "
            "for), and tell whoever uses it",
        )


def time_limits(given: Configuration) -> Iterator[Finding]:
    """A run must be able to end before it is ended."""
    if given.waits_for is None:
        return
    if given.waits_for * 1000 >= given.time_limit:
        yield Finding(
            severity="warning",
            found=f"the responder may take {given.waits_for:g} s, but a turn is interrupted after "
            f"{span(given.time_limit)}",
            cure=f"set CHATBOT_RESPONDER_TIMEOUT_S to less than {given.time_limit / 1000:g}",
        )
    if given.waits_for > given.grace:
        yield Finding(
            severity="note",
            found=f"the responder may take {given.waits_for:g} s, but a worker that is told to stop has "
            f"{given.grace:g} s: a turn that takes longer is asked about again elsewhere, under the same id",
            cure=f"run `chatbot worker --grace {given.waits_for + 5:g}` and let containers live longer than that (and "
            "tell `chatbot doctor --grace`), or lower CHATBOT_RESPONDER_TIMEOUT_S",
        )


# --- the service at work ---
def pumps(work: Work) -> Iterator[Finding]:
    """Every open conversation is looked at when its time comes."""
    if work.overdue > DAY:
        yield Finding(
            severity="error",
            found=f"{count(work.open, 'conversation')} open, the oldest overdue by {span(work.overdue)}: no pump runs, "
            "so nobody is answered",
            cure=_WORKERS + "; what waited is answered then",
        )
    elif work.overdue > BEHIND:
        yield Finding(
            severity="error",
            found=f"{count(work.open, 'conversation')} open, the oldest overdue by {span(work.overdue)}: the pumps, "
            "which are in the workers, do not keep up or do not run",
            cure=_WORKERS,
        )


def workers(work: Work) -> Iterator[Finding]:
    """Somebody takes from every queue."""
    if work.workers == 0:
        yield Finding(severity="error", found="no worker is connected to the broker", cure=_WORKERS)
        return
    for queue in work.unserved:
        yield Finding(
            severity="error",
            found=f"no worker takes from the queue {queue}",
            cure=f"start `chatbot worker --queues {queue}`, or one without --queues",
        )


def scheduler(work: Work) -> Iterator[Finding]:
    """The sweep is published every minute."""
    if work.last_tick is None:
        yield Finding(severity="warning", found="no scheduler has ever run here", cure=_SCHEDULER)
    elif work.last_tick > SILENT:
        yield Finding(severity="warning", found=f"no scheduler has run for {span(work.last_tick)}", cure=_SCHEDULER)


def dead_letters(work: Work) -> Iterator[Finding]:
    """What was given up waits for somebody to decide."""
    if work.dead_turns or work.dead_messages:
        told = [
            f"{count(number, noun)}"
            for number, noun in ((work.dead_turns, "turn"), (work.dead_messages, "other message"))
            if number
        ]
        yield Finding(
            severity="warning",
            found=f"dead letters wait: {' and '.join(told)}",
            cure="`chatbot dead list` shows why; then `chatbot dead replay` or `chatbot dead drop`",
        )


def uncollected(work: Work) -> Iterator[Finding]:
    """What nobody has written down cannot be listed or replayed."""
    if work.uncollected:
        many = count(work.uncollected, "dead letter")
        yield Finding(
            severity="note",
            found=f"RabbitMQ has {many} more than our journal: it made them itself, by a policy's limit of deliveries "
            "or time to live, or the store was down, or nobody can read them",
            cure="`chatbot dead collect` writes down what can be read, then `chatbot dead list` shows it; the rest is "
            "gone after a week",
        )


OF_CONFIGURATION = (settings, secrets, time_limits)
OF_WORK = (pumps, workers, scheduler, dead_letters, uncollected)

"""From facts to findings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from chatbot.operations.attached import described
from chatbot.operations.doctor import check_rabbitmq, check_server, check_work
from chatbot.operations.doctor.facts import (
    Configuration,
    Facts,
    Finding,
    Part,
    Rabbitmq,
    Server,
    Severity,
    Unseen,
    Work,
)
from chatbot.operations.doctor.look import look

Check = Callable[[Any], Iterable[Finding]]

#: What is checked of each part, in this order.
CHECKS: dict[type[Part], Sequence[Check]] = {
    Configuration: check_work.OF_CONFIGURATION,
    Server: check_server.CHECKS,
    Rabbitmq: check_rabbitmq.CHECKS,
    Work: check_work.OF_WORK,
}
_GRAVITY: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


class Told(Struct, frozen=True, kw_only=True):
    """A finding, and which check of which part it is of."""

    part: str
    check: str
    severity: Severity
    found: str
    cure: str


class Checked(Struct, frozen=True, kw_only=True):
    """A check that was made, and how many findings it had."""

    part: str
    check: str
    findings: int


class Diagnosis(Struct, frozen=True, kw_only=True):
    """What is wrong, the worst first. `ok`: nothing is, notes aside."""

    ok: bool
    findings: list[Told]
    checked: list[Checked]
    unseen: list[Unseen]


def diagnose(facts: Facts) -> Diagnosis:
    """Return what facts say. Pure."""
    made = list(_checks(facts))
    told = [one for _, findings in made for one in findings]
    told += [
        Told(part="servers", check="answers", severity=one.severity, found=one.found, cure=one.cure)
        for one in facts.broken
    ]
    return Diagnosis(
        ok=all(one.severity == "note" for one in told),
        findings=sorted(told, key=lambda one: _GRAVITY[one.severity]),
        checked=[checked for checked, _ in made],
        unseen=facts.unseen,
    )


def doctor(variables: Mapping[str, str], state: Path, *, grace: float) -> Diagnosis:
    """Look at the deployment of these variables, or at the `chatbot dev` in `state`. Raises ConfigurationError if there
    is none that could be looked at."""
    all_variables = described(variables, state)
    return diagnose(look(all_variables, grace=grace, dev=all_variables is not variables))


def _checks(facts: Facts) -> Iterator[tuple[Checked, list[Told]]]:
    for part in facts.parts:
        name = _name(part)
        known = isinstance(part, Server) and part.known
        checks: Sequence[Check] = check_server.OF_USE if known else CHECKS[type(part)]
        for check in checks:
            topic = check.__name__.replace("_", " ")
            told = [
                Told(part=name, check=topic, severity=one.severity, found=one.found, cure=one.cure)
                for one in check(part)
            ]
            yield Checked(part=name, check=topic, findings=len(told)), told


def _name(part: Part) -> str:
    if isinstance(part, Server):
        return f"{part.name} ({part.software} {part.version})"
    if isinstance(part, Rabbitmq):
        return f"broker (RabbitMQ {part.version})"
    return "environment" if isinstance(part, Configuration) else "service"

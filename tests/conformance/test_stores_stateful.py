"""Every store does what the reference says, whatever happens in whatever order: verbs of everybody, time that jumps,
copies that come late or twice, and answers that get lost, so that the same verb is sent again.

A failure is shrunk to the shortest story that shows it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.conformance.ledgers import LEDGERS
from tests.conformance.stores_lives import Lives


def _live(request: pytest.FixtureRequest, name: str, examples: int) -> None:
    create: Any = lambda: Lives(lambda: LEDGERS[name](request))  # noqa: E731
    run_state_machine_as_test(
        create,
        settings=settings(
            max_examples=examples, stateful_step_count=40, deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip


@pytest.mark.timeout(600)  # a failure is shrunk for minutes, and that is worth it
@pytest.mark.parametrize(("name", "examples"), [("memory", 60), ("redis", 15)])
def test_a_ledger_does_what_the_reference_says(request: pytest.FixtureRequest, name: str, examples: int) -> None:
    _live(request, name, examples)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize(("name", "examples"), [("memory", 3_000), ("redis", 600), ("valkey", 300)])
def test_a_ledger_does_what_the_reference_says_for_long(
    request: pytest.FixtureRequest, name: str, examples: int
) -> None:
    _live(request, name, examples)

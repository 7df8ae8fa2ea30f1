"""Running programs that supervise."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.processes.running import Run, Running, program


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Runs programs; what is left of them at the end of the test is killed."""
    with ExitStack() as programs:
        count = 0

        def start(source: str) -> Running:
            nonlocal count
            count += 1
            return programs.enter_context(program(source, tmp_path / f"log{count}"))

        yield start

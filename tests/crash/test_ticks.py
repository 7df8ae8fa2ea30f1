"""A scheduler dies between the steps of a tick: another one makes it up, and it still runs once."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.points import TICKS
from tests.e2e.deployment import Deployment
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]

#: s until the next tick of an actor that is due every minute, and until the claim of a dead scheduler ends.
MINUTE, LEASE = 70, 20


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_tick_runs_once_whose_schedulers_die_before_and_after_they_publish_it(deploy: Deploy, tmp_path: Path) -> None:
    house = deploy()
    worker = house.start_worker()
    for name, within in zip(TICKS, (MINUTE, LEASE), strict=True):
        scheduler = house.start("scheduler", program=("tests.crash.launch", name, "1", str(tmp_path / "unsure")))
        assert scheduler.popen.wait(within) == -signal.SIGKILL, scheduler.output()
    last = house.start("scheduler")
    published = wait_until(lambda: re.findall(r"tick (\S+) ", last.output()), LEASE)
    wait_until(lambda: house.waiting("low") == 0)
    assert len(published) == 1
    assert worker.output().count('"event": "sweep {') == 1

"""A worker that is told to stop finishes what it runs within its grace, or hands it back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.e2e.deployment import Deployment, message, stays
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]


def test_a_worker_told_to_stop_finishes_what_it_runs(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="200")
    house.start_web()
    worker = house.start_worker("--processes", "2")
    house.partners.free.clear()
    house.post(message("A", 1))
    wait_until(lambda: house.partners.asked)
    worker.popen.send_signal(signal.SIGTERM)
    assert stays(lambda: worker.popen.poll() is None, 0.5)
    house.partners.free.set()
    assert worker.popen.wait(15) == 0
    house.start_worker()
    wait_until(lambda: house.partners.received)
    assert len(house.partners.asked) == 1


@pytest.mark.long
def test_a_worker_hands_back_what_it_cannot_finish_within_its_grace(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="200")
    house.start_web()
    worker = house.start_worker("--grace", "1")
    house.partners.free.clear()
    house.post(message("A", 1))
    wait_until(lambda: house.partners.asked)
    started = time.monotonic()
    worker.popen.send_signal(signal.SIGTERM)
    worker.popen.wait(10)
    assert time.monotonic() - started < 6
    house.partners.free.set()
    house.start_worker()
    wait_until(lambda: house.partners.received, 20)
    assert stays(lambda: len(house.partners.received) == 1, 1.0)

"""`chatbot worker --processes`, `chatbot web --workers`: one that dies restarts alone, none outlives its parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from tests.e2e.deployment import Deployment, deployed, message, stays
from tests.processes.running import alive, children, gone
from tests.waiting import wait_until


@pytest.fixture
def house(private_redis: Callable[..., object]):
    server = private_redis()
    with deployed(server, server, CHATBOT_DEBOUNCE_WAIT_MS="200") as deployment:
        yield deployment


@pytest.mark.parametrize("arguments", [("worker", "--processes", "2"), ("web", "--workers", "2", "--port")])
def test_a_killed_child_restarts_alone(house: Deployment, arguments: tuple[str, ...]) -> None:
    parent = _start(house, arguments)
    first, second = wait_until(lambda: _two(parent), 60)
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: (found := _two(parent)) and first not in found and second in found, 60)
    assert alive(second)
    assert house.processes[0].stop() == 0


@pytest.mark.parametrize("arguments", [("worker", "--processes", "2"), ("web", "--workers", "2", "--port")])
def test_children_end_when_their_parent_is_killed(house: Deployment, arguments: tuple[str, ...]) -> None:
    parent = _start(house, arguments)
    below = wait_until(lambda: _two(parent), 60)
    house.processes[0].kill()
    wait_until(lambda: gone(*below))


def test_a_second_signal_stops_at_once(house: Deployment) -> None:
    house.start_web()
    worker = house.start_worker("--grace", "60")
    house.partners.free.clear()
    house.post(message("A", 1))
    wait_until(lambda: house.partners.asked)
    worker.popen.send_signal(signal.SIGTERM)
    assert stays(lambda: worker.popen.poll() is None, 0.5)
    worker.popen.send_signal(signal.SIGTERM)
    assert worker.popen.wait(20) != 0


def _start(house: Deployment, arguments: tuple[str, ...]) -> int:
    port = (str(house.port),) if arguments[-1] == "--port" else ()
    return house.start(*arguments, *port).popen.pid


def _two(parent: int) -> list[int]:
    found = children(parent)
    return found if len(found) == 2 else []


@pytest.mark.long
def test_a_child_that_starts_while_the_store_is_down_is_started_again(house: Deployment) -> None:
    parent = _start(house, ("worker", "--processes", "2"))
    first, _ = wait_until(lambda: _two(parent), 60)
    house.store.kill()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: "no store answers" in house.processes[0].output(), 20)
    assert house.processes[0].popen.poll() is None
    house.store.start()
    house.start_web()
    house.post(message("A", 1))
    wait_until(lambda: house.partners.received, 30)
    wait_until(lambda: (found := _two(parent)) and first not in found, 30)

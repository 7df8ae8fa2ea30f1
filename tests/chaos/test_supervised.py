"""Children of supervisors are killed while bursts come in: their supervisors and the ledger make good for it."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from chatbot.bench.chaos.traffic import Traffic
from chatbot.bench.chaos.verdict import answer, judge, unanswered
from tests.e2e.deployment import Deployment
from tests.processes.running import children
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

Deploy = Callable[..., Deployment]


@contextmanager
def killing(*parents: int, every: float) -> Iterator[list[int]]:
    """Kill a child of these processes at random, again and again."""
    dice, over, killed = random.Random(7), threading.Event(), list[int]()

    def kill() -> None:
        while not over.wait(every):
            victims = [pid for parent in parents for pid in children(parent)]
            if victims:
                killed.append(dice.choice(victims))
                with suppress(ProcessLookupError):
                    os.kill(killed[-1], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def accepted(traffic: Traffic) -> int:
    """Return how many messages have been accepted so far."""
    return sum(sent.accepted > 0 for sent in list(traffic.sent.values()))


def test_nothing_is_lost_doubled_or_reordered_while_children_are_killed(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="400", CHATBOT_DEBOUNCE_MAX_WAIT_MS="1200", CHATBOT_TURN_ATTEMPTS="50")
    house.partners.answer = answer
    web = house.start("web", "--port", str(house.port), "--workers", "2")
    worker = house.start("worker", "--processes", "3", "--threads", "4")
    with Traffic(house.url, conversations=40) as traffic:
        with killing(web.popen.pid, worker.popen.pid, every=1.5) as killed:
            wait_until(lambda: len(killed) >= 20 and accepted(traffic) > 200, 150, "no traffic", 0.2)
        traffic.finish()
        wait_until(lambda: not unanswered(traffic, house.partners), 90, "messages are lost", 0.2)
    verdict = judge(traffic, house.partners, wait=0.4, max_wait=1.2)
    assert verdict.ok, verdict

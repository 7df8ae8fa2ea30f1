"""Whatever is killed, and however often: every message is in exactly one turn, in order, and every turn is answered."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from tests.e2e.deployment import Deployment, message, texts
from tests.processes.running import children
from tests.waiting import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

CONVERSATIONS = [f"c{number}" for number in range(25)]
LINES = 40
#: s between two lines of a conversation: some end a burst, some do not.
PACE = (0.1, 0.9)

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


def deliver(house: Deployment, conversation: str, number: int) -> None:
    """Deliver a message as a provider does: again until it is accepted, and sometimes once more."""

    def accepted() -> bool:
        with suppress(httpx.TransportError):
            return house.post(message(conversation, number)).status_code == 200
        return False

    wait_until(accepted, 60, interval=0.1)
    if number % 3 == 0:
        with suppress(httpx.TransportError):
            house.post(message(conversation, number))


def test_nothing_is_lost_doubled_or_reordered_while_processes_are_killed(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="400", CHATBOT_DEBOUNCE_MAX_WAIT_MS="1200", CHATBOT_TURN_ATTEMPTS="50")
    web = house.start("web", "--port", str(house.port), "--workers", "2")
    worker = house.start("worker", "--processes", "3", "--threads", "4")
    with killing(web.popen.pid, worker.popen.pid, every=1.5) as killed:
        for number in range(LINES):
            for conversation in CONVERSATIONS:
                deliver(house, conversation, number)
            time.sleep(random.Random(number).choice(PACE))
    expected = {f"{c}-{n}" for c in CONVERSATIONS for n in range(LINES)}

    def answered() -> dict[str, list[str]]:
        """Return the members of each turn that was answered."""
        replied = {reply.body["turn_id"] for reply in house.partners.received}
        return {
            seen.body["turn_id"]: [item["message_id"] for item in seen.body["messages"]]
            for seen in house.partners.asked
            if seen.body["turn_id"] in replied
        }

    wait_until(lambda: expected <= {m for members in answered().values() for m in members}, 90, "messages are lost")
    assert len(killed) > 7

    members = [m for turn in answered().values() for m in turn]
    assert sorted(members) == sorted(expected), "a message is in two turns"
    asked = defaultdict(set)
    for seen in house.partners.asked:
        asked[seen.body["turn_id"]].add(tuple(texts(seen)))
    assert all(len(versions) == 1 for versions in asked.values()), "a turn was asked about with other members"
    first = {reply.body["reply_id"]: reply for reply in reversed(house.partners.received)}
    assert len(first) == len(answered()), "a turn has two sets of replies"
    for conversation in CONVERSATIONS:
        replies = sorted((r for r in first.values() if r.body["conversation_id"] == conversation), key=lambda r: r.at)
        order = [m for reply in replies for m in answered()[reply.body["turn_id"]]]
        assert order == [f"{conversation}-{n}" for n in range(LINES)], "out of order"

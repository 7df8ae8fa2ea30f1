"""A deployment moves to another broker and takes nothing along: the ledger hands over again what the old one had.

docs/migrating-between-brokers.md is the procedure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chatbot.bench.rabbitmq_server import RabbitmqServer
from tests.e2e.deployment import Deployment, deployed, message, stays, texts
from tests.waiting import wait_until

pytestmark = pytest.mark.long

BURST = 3
#: Their turns wait in the queue `default`, or run, when the old workers are told to stop.
ASKED = [f"asked-{number}" for number in range(6)]
#: Their turns are over, and their replies wait in the queue `high`.
ANSWERED = [f"answered-{number}" for number in range(6)]
#: Their messages are accepted while no worker runs at all.
LATE = [f"late-{number}" for number in range(3)]


@pytest.fixture
def house(private_redis: Callable[..., Any]) -> Iterator[Deployment]:
    with deployed(private_redis(), private_redis(), CHATBOT_DEBOUNCE_WAIT_MS="200") as deployment:
        deployment.start_web()
        yield deployment


def say(house: Deployment, *conversations: str) -> dict[str, int]:
    """Deliver a burst of each conversation; return what the webhook told of all of them."""
    bursts = [[message(name, number) for number in range(BURST)] for name in conversations]
    answers = [house.post(*burst).raise_for_status().json() for burst in bursts]
    return {word: sum(answer[word] for answer in answers) for word in ("accepted", "duplicates")}


def leave_work_in_the_broker(house: Deployment) -> None:
    """Stop the old workers while the broker holds turns and replies, and a worker has begun turns."""
    worker = house.start_worker("--queues", "default", "--threads", "2", "--grace", "1")
    say(house, *ANSWERED)
    wait_until(lambda: house.waiting("high") == len(ANSWERED), 20, "no reply waits in the broker")
    house.partners.free.clear()
    say(house, *ASKED)
    wait_until(lambda: len(house.partners.asked) > len(ANSWERED) and house.waiting("default"), 20)
    worker.stop()
    assert house.waiting("default")
    assert house.waiting("high") == len(ANSWERED)
    house.partners.free.set()


def move(house: Deployment, broker: Any) -> Any:
    """Let what is started from now on use another broker; return the old one."""
    old, house.broker = house.broker, broker
    house.wipe_broker()
    return old


def all_is_answered_once(house: Deployment, *conversations: str) -> None:
    """Every message was in one turn, in order, and every turn's reply was received once."""
    wait_until(lambda: house.open_keys() == [] and house.partners.received, 40, f"still open: {house.open_keys()}")
    replied = [reply.body["turn_id"] for reply in house.partners.received]
    assert len(replied) == len(set(replied)), "a reply left twice"
    for name in conversations:
        turns = {turn.body["turn_id"]: texts(turn) for turn in house.partners.asked_about(name)}
        assert set(turns) == {reply.body["turn_id"] for reply in house.partners.replies_to(name)}
        assert [text for said in turns.values() for text in said] == [f"line {number}" for number in range(BURST)]


def test_nothing_is_lost_or_doubled_when_workers_stop_and_start_on_another_broker(
    house: Deployment, rabbitmq_server: RabbitmqServer
) -> None:
    leave_work_in_the_broker(house)
    move(house, rabbitmq_server).stop()  # so nothing can come from there
    assert say(house, *LATE)["accepted"] == BURST * len(LATE)  # by a web process that still names the old one
    house.start_worker()
    all_is_answered_once(house, *ASKED, *ANSWERED, *LATE)
    received = len(house.partners.received)
    assert say(house, *ASKED, *ANSWERED, *LATE)["accepted"] == 0  # a provider that sends all of it again
    assert stays(lambda: len(house.partners.received) == received, 1.0)


def test_what_the_old_broker_still_has_is_dropped_when_one_goes_back(
    house: Deployment, rabbitmq_server: RabbitmqServer
) -> None:
    leave_work_in_the_broker(house)
    old = move(house, rabbitmq_server)
    new = house.start_worker()
    all_is_answered_once(house, *ASKED, *ANSWERED)
    new.stop()
    received, asked = len(house.partners.received), len(house.partners.asked)
    house.broker = old
    assert house.waiting("default")
    assert house.waiting("high")
    house.start_worker()
    wait_until(lambda: house.waiting("default") == house.waiting("high") == 0, 20)
    assert say(house, *LATE)["accepted"] == BURST * len(LATE)
    all_is_answered_once(house, *ASKED, *ANSWERED, *LATE)
    assert len(house.partners.received) == received + len(LATE)
    assert len(house.partners.asked) == asked + len(LATE)


def test_workers_of_both_brokers_may_run_at_the_same_time(house: Deployment, rabbitmq_server: RabbitmqServer) -> None:
    old_worker = house.start_worker("--threads", "2")
    say(house, *ANSWERED)
    move(house, rabbitmq_server)
    house.start_worker("--threads", "2")
    say(house, *ASKED)
    old_worker.stop()
    say(house, *LATE)
    all_is_answered_once(house, *ASKED, *ANSWERED, *LATE)

"""Machines die halfway: nothing accepted is lost, and no reply leaves twice."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from chatbot import brokers
from chatbot.bench.deployment import QUEUES
from tests.e2e.deployment import Deployment, message, stays, texts
from tests.e2e.partners import Seen
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]


@pytest.mark.long
def test_a_worker_killed_while_the_responder_is_busy_costs_one_more_question_and_no_reply(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="300")
    house.start_web()
    worker = house.start_worker()
    house.partners.free.clear()
    house.post(message("A", 1), message("A", 2))
    wait_until(lambda: house.partners.asked)
    worker.kill()
    house.partners.free.set()
    killed = time.monotonic()
    house.start_worker()
    wait_until(lambda: house.partners.received, 20)
    assert house.partners.received[0].at - killed < 10
    assert stays(lambda: len(house.partners.received) == 1, 1.0)
    assert len(house.partners.asked) <= 2
    assert {turn.headers["idempotency-key"] for turn in house.partners.asked} == {
        house.partners.asked[0].body["turn_id"]
    }
    assert all(texts(turn) == ["line 1", "line 2"] for turn in house.partners.asked)


def test_a_turn_completes_whose_message_the_broker_lost(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="200")
    house.start_web()
    # Its pump hands the turn over, but nobody consumes the queue that the turn waits in.
    bystander = house.start_worker("--queues", "high")
    house.post(message("A", 1))
    wait_until(lambda: house.waiting("default") == 1)
    bystander.stop()
    house.wipe_broker()
    assert house.waiting("default") == 0
    house.start_worker()
    wait_until(lambda: house.partners.received, 20)
    assert stays(lambda: len(house.partners.received) == 1, 1.0)
    assert len(house.partners.asked) == 1


@pytest.mark.long
def test_nothing_is_missing_when_every_queue_is_purged_again_and_again_during_a_run(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="200")
    house.start_web()
    house.start_worker("--threads", "4")
    conversations = [f"c{number}" for number in range(15)]
    for number in range(3):
        house.partners.free.clear()  # so that a backlog waits in the queues
        for conversation in conversations:
            house.post(message(conversation, number)).raise_for_status()
        wait_until(lambda: house.waiting("default"))
        purge(house)
        house.partners.free.set()
        wait_until(lambda n=number: len(house.partners.received) > n * len(conversations) + 2, 20)
        purge(house)
    wait_until(lambda: sum(len(texts(turn)) for turn in answered(house)) >= 45, 40, "messages are missing")
    for conversation in conversations:
        said = [
            text for turn in answered(house) if turn.body["conversation_id"] == conversation for text in texts(turn)
        ]
        assert said == ["line 0", "line 1", "line 2"]
    wait_until(lambda: house.open_keys() == [], 20, f"still open: {house.open_keys()}")
    assert len(house.partners.received) == len({reply.body["turn_id"] for reply in house.partners.received})


def purge(house: Deployment) -> None:
    """Drop every message that the broker has, while its queues are in use."""
    broker = brokers.create(house.broker.url, [])
    for queue in QUEUES:
        broker.flush(queue)
    broker.close()


def answered(house: Deployment) -> list[Seen]:
    """Return the first question about each turn whose reply was received."""
    replied = {reply.body["turn_id"] for reply in list(house.partners.received)}
    first = {turn.body["turn_id"]: turn for turn in reversed(house.partners.asked)}
    return sorted((first[name] for name in replied), key=lambda turn: turn.at)


def test_while_the_store_is_down_webhooks_are_refused_and_a_resend_is_accepted(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="300")
    house.start_web()
    house.start_worker()
    assert house.post(message("A", 1)).status_code == 200
    house.store.kill()
    refused = house.post(message("A", 2))
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["content-type"] == "application/problem+json"
    assert house.client.get("/health").status_code == 200
    wait_until(lambda: house.client.get("/ready").status_code == 503)
    house.store.start()
    wait_until(lambda: house.client.get("/ready").status_code == 200)
    answer = house.post(message("A", 1), message("A", 2)).json()
    assert answer["accepted"] + answer["duplicates"] == 2
    assert answer["duplicates"] >= 1
    wait_until(lambda: sum(len(texts(turn)) for turn in house.partners.asked) == 2, 20)
    wait_until(lambda: len(house.partners.received) == len(house.partners.asked))
    assert sorted(text for turn in house.partners.asked for text in texts(turn)) == ["line 1", "line 2"]


@pytest.mark.long
def test_while_the_broker_is_down_webhooks_are_accepted_and_answered_when_it_is_back(deploy: Deploy) -> None:
    house = deploy(own_broker=True, CHATBOT_DEBOUNCE_WAIT_MS="300")
    house.start_web()
    house.start_worker()
    # RabbitMQ 3.10 may never elect a leader for a quorum queue that it was killed over while it was being declared.
    house.post(message("B", 1))
    wait_until(lambda: house.partners.received, 30)
    house.broker.kill()
    assert house.post(message("A", 1)).json() == {"accepted": 1, "duplicates": 0}
    ready = house.client.get("/ready")
    assert ready.status_code == 200
    assert ready.json()["broker"] == "down"
    assert stays(lambda: len(house.partners.asked) == 1, 0.7)
    house.broker.start()
    wait_until(lambda: len(house.partners.received) == 2, 60)  # 5 s on a machine with nothing else to do
    assert stays(lambda: len(house.partners.received) == 2, 1.0)

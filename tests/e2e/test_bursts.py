"""A burst of real messages becomes one reply, on either broker."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.e2e.deployment import Deployment, message, stays, texts
from tests.waiting import wait_until

Deploy = Callable[..., Deployment]


def test_a_burst_delivered_twice_becomes_one_turn_and_one_reply(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="4000", CHATBOT_DEBOUNCE_MAX_WAIT_MS="30000")
    house.start_web()
    house.start_worker()
    for number in range(5):
        begun = time.monotonic()
        for conversation in ("A", "B", "A", "B"):
            house.post(message(conversation, number)).raise_for_status()
        ended = time.monotonic()
        time.sleep(0.2)
    wait_until(lambda: house.partners.replies_to("A") and house.partners.replies_to("B"), 20)

    for conversation in ("A", "B"):
        (turn,), (reply,) = house.partners.asked_about(conversation), house.partners.replies_to(conversation)
        assert texts(turn) == [f"line {n}" for n in range(5)]
        assert reply.body["text"] == "5 messages"
        assert begun + 4 < reply.at < ended + 8  # one wait, and not two
    assert stays(lambda: len(house.partners.asked) == len(house.partners.received) == 2, 1.0)


def test_a_resend_after_the_turn_settled_is_a_duplicate_and_opens_no_turn(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="300")
    house.start_web()
    house.start_worker()
    assert house.post(message("A", 1), message("A", 2)).json() == {"accepted": 2, "duplicates": 0}
    wait_until(lambda: house.partners.replies_to("A"))
    assert house.post(message("A", 2)).json() == {"accepted": 0, "duplicates": 1}
    assert stays(lambda: len(house.partners.asked) == 1, 1.0)


def test_arrivals_during_a_run_become_the_next_turn(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="200")
    house.start_web()
    house.start_worker()
    house.partners.free.clear()
    house.post(message("A", 1))
    wait_until(lambda: house.partners.asked)
    house.post(message("A", 2))
    house.post(message("A", 3))
    assert stays(lambda: len(house.partners.asked) == 1, 0.8)
    house.partners.free.set()
    wait_until(lambda: len(house.partners.received) == 2)
    assert [texts(turn) for turn in house.partners.asked] == [["line 1"], ["line 2", "line 3"]]
    assert [entry["text"] for entry in house.partners.asked[1].body["history"]] == ["line 1", "1 messages"]


def test_many_conversations_run_beside_each_other(deploy: Deploy) -> None:
    house = deploy(CHATBOT_DEBOUNCE_WAIT_MS="3500", CHATBOT_DEBOUNCE_MAX_WAIT_MS="30000")
    house.start_web()
    house.start_worker("--processes", "2", "--threads", "4")
    for number in range(3):
        for conversation in range(30):
            house.post(message(f"c{conversation}", number)).raise_for_status()
    wait_until(lambda: len(house.partners.received) >= 30, 20)
    assert stays(lambda: len(house.partners.received) == 30, 0.5)
    assert all(len(texts(turn)) == 3 for turn in house.partners.asked)
